"""Files and folders that appear under their final name only when they are whole and on the disk.

They grow in a hidden folder beside the final name (:mod:`secateur.core.workplace`), get the permissions of
the umask, and are synchronised before and after they are renamed. A folder that is replaced changes names
with the new one in one step; where the system cannot do that, there is a moment between two renamings, and a
process that dies in it leaves the former folder to be put back by the next write.

Where several processes carry out one command (see :mod:`secateur.core.processes`), each writes aside on its
own, and that of the first takes the final name.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secateur.core.errors import ConfigError, SecateurError
from secateur.core.exchange import exchange
from secateur.core.processes import apart, one_writes, team
from secateur.core.workplace import SUFFIX, Workplace, remove_leftovers, workplace

PRIVATE = 0o600
FULL = (errno.ENOSPC, errno.EDQUOT)
NO_ROOM = (*FULL, errno.EFBIG, errno.EROFS)
"""What a write may meet however right the program is; told with the name that was to be written."""

_CUT_SHORT = re.compile(r"\d+ requested and \d+ written")
"""What NumPy says of any write that did not go through."""


@contextmanager
def write_aside(path: Path, *, private: bool = False) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; it takes that name on success and goes on any failure.

    Parameters
    ----------
    path : Path
        Final name; folders above it are made. Where it is a link, what it leads to is written.
    private : bool, default False
        Whether nobody but its owner may ever read the file.

    Raises
    ------
    OSError
        With ``path`` as its ``filename`` if the disk is full, or takes no file or none of this size.
    ConfigError
        If ``path`` is there and no regular file.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise ConfigError(
            f"{path} is {'a folder' if Path(path).is_dir() else 'no regular file'}; give a file."
        )
    with _grown_aside(path) as (target, place):
        if private:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))
        with apart():
            yield target
        with one_writes() as mine:
            if mine:
                _settle(target, PRIVATE if private else place.file_mode)
                final = Path(path).resolve()
                target.replace(final)
                _synchronise(final.parent)


@contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """Give a folder beside ``path`` to fill; it takes the place of ``path`` on success only.

    Raises
    ------
    OSError
        As :func:`write_aside`.
    """
    with _grown_aside(path) as (target, place):
        target.mkdir()
        with apart():
            yield target
        with one_writes() as mine:
            if mine:
                _take_place(target, Path(path).resolve(), place)


def take_place(folder: Path, path: Path) -> None:
    """Give a folder, beside ``path`` in the same file system, that name; a folder that has it is removed."""
    path = Path(path).resolve()
    with workplace(path.parent, path.name) as place:
        _take_place(folder, path, place)
        if folder.exists():
            shutil.rmtree(folder)


def _take_place(folder: Path, path: Path, place: Workplace) -> None:
    """Rename a folder; a former one of that name is then where the new one was, or in the workplace."""
    for root, folders, files in os.walk(folder):
        for name in files:
            _settle(Path(root) / name, place.file_mode)
        for name in (*folders, ""):
            _synchronise(Path(root) / name)
    if not path.exists():
        folder.rename(path)
    elif not exchange(folder, path):
        place.former.mkdir()
        former = path.rename(place.former / path.name)
        try:
            folder.rename(path)
        except OSError:
            former.rename(path)
            raise
    _synchronise(path.parent)


@contextmanager
def _grown_aside(path: Path) -> Iterator[tuple[Path, Workplace]]:
    team().wait()
    final = Path(path).resolve()
    beside = final.parent if team().writes else Path(tempfile.gettempdir())
    with _named(Path(path)):
        final.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(beside)
        with workplace(beside, final.name) as place:
            yield place.folder / final.name, place


def _settle(path: Path, mode: int) -> None:
    """Give a file its permissions, whatever the library that wrote it chose, and see it to the disk."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return
    if stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)
    _synchronise(path)


def _synchronise(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder that may be written but not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # not on this file system
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let a full disk and its like be told with the name that was to be written, whoever meets them."""
    try:
        yield
    except SecateurError:
        raise
    except Exception as error:
        number = _number_of(error, path.resolve().parent)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _number_of(error: Exception, beside: Path) -> int | None:
    """Return the system's number of a failed write; None for anything else that went wrong."""
    if isinstance(error, OSError) and error.errno is not None:
        ours = error.errno in NO_ROOM or SUFFIX in str(error.filename)
        return error.errno if ours else None
    if isinstance(error, OSError) and _CUT_SHORT.search(str(error)):
        return errno.EFBIG if shutil.disk_usage(beside).free > 2**20 else errno.ENOSPC
    # libraries that write for us keep the text of the system's error at best
    return next((number for number in NO_ROOM if os.strerror(number) in str(error)), None)


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
        If there is a file, a folder that is neither empty nor such a result, or the folder that one is in or
        a mount point, which cannot be replaced as a whole.
    """
    folder = Path(folder)
    if not folder.exists() and not folder.is_symlink():
        return
    resolved = folder.resolve()
    if resolved == Path.cwd() or resolved.is_mount():
        what = "a mount point" if resolved.is_mount() else "the folder that you are in"
        raise ConfigError(
            f"{folder} is {what}, which cannot be replaced; give a folder in it, such as {folder / 'result'}."
        )
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
