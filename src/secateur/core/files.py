"""Files and folders that appear under their final name only when they are whole.

Where several processes carry out one command (see :mod:`secateur.core.processes`), each writes aside on its
own, and that of the first takes the final name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secateur.core.errors import ConfigError
from secateur.core.processes import apart, one_writes, team


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it on success, remove it on any failure."""
    path = Path(path)
    team().wait()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=_place_beside(path))
    os.close(handle)
    aside = Path(name)
    try:
        with apart():
            yield aside
        with one_writes() as mine:
            if mine:
                aside.chmod(0o644)
                aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; it takes the place of ``path`` on success only."""
    path = Path(path)
    team().wait()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=_place_beside(path)))
    try:
        with apart():
            yield aside
        with one_writes() as mine:
            if mine:
                _take_place(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _take_place(aside: Path, path: Path) -> None:
    aside.chmod(0o755)
    if path.exists():
        former = aside.with_name(aside.name + ".former")
        path.replace(former)
        aside.replace(path)
        shutil.rmtree(former)
    else:
        aside.replace(path)


def _place_beside(path: Path) -> Path | None:
    """Beside the file if this process will rename it, else where the system keeps what does not last."""
    return path.parent if team().writes else None


def rename_file(path: Path, new: Path) -> None:
    """Give a file another name in the same file system; a file of that name is replaced."""
    with one_writes() as mine:
        if mine:
            Path(path).replace(new)


def remove_folder(path: Path) -> None:
    """Remove a folder of ours and all in it, if it is there."""
    with one_writes() as mine:
        if mine:
            shutil.rmtree(path, ignore_errors=True)


def require_replaceable(folder: Path, marker: str | None = None) -> None:
    """Check that writing ``folder`` loses nothing that is not ours to replace.

    Parameters
    ----------
    folder : Path
        Where a result is to go.
    marker : str, optional
        Name of the file by which a former result of the same kind, which may be replaced, is known.

    Raises
    ------
    ConfigError
        If there is a file, or a folder that is neither empty nor such a result.
    """
    folder = Path(folder)
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_dir() and (not any(folder.iterdir()) or (marker and (folder / marker).exists())):
        return
    raise ConfigError(f"{folder} exists and holds something else; choose a new or an empty folder.")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
