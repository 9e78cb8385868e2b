"""What a file is that should have been text in UTF-8, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from secateur.core.errors import DataError

KINDS: Mapping[bytes, str] = {
    b"\xff\xfe": "text in UTF-16; convert it, for instance with iconv -f UTF-16 -t UTF-8",
    b"\xfe\xff": "text in UTF-16; convert it, for instance with iconv -f UTF-16 -t UTF-8",
    b"\x1f\x8b": "packed by gzip; unpack it first",
    b"BZh": "packed by bzip2; unpack it first",
    b"\xfd7zXZ\x00": "packed by xz; unpack it first",
    b"\x28\xb5\x2f\xfd": "packed by zstd; unpack it first",
    b"PK\x03\x04": "a ZIP archive or an office document; unpack it, or save its text as UTF-8",
    b"%PDF": "a PDF; save its text as UTF-8",
    b"PAR1": "a Parquet table; let its name end in .parquet",
}
"""By the first bytes of a file."""


def not_text(path: Path, found: str) -> DataError:
    """Return the error about a file that is no text in UTF-8.

    Parameters
    ----------
    path : Path
    found : str
        What was found in it ("has NUL characters", "is not UTF-8 (byte 7)"), for files of no known kind.
    """
    with path.open("rb") as stream:
        start = stream.read(8)
    for magic, kind in KINDS.items():
        if start.startswith(magic):
            return DataError(f"{path} is {kind}.")
    return DataError(f"{path} {found}; convert it, for instance with iconv.")
