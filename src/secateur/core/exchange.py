"""Two names change places in one step, where the system can do so."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""Of Linux's fcntl.h and fs.h."""


def exchange(one: Path, other: Path) -> bool:
    """Let two files or folders of one file system change names; at no moment is there nothing under either.

    Returns
    -------
    bool
        False where the system or the file system cannot do it; nothing has changed then.

    Raises
    ------
    FileNotFoundError
        If one of them does not exist.
    """
    for path in (one, other):
        path.lstat()
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0
