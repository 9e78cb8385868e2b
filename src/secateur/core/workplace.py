"""Hidden folders beside an output in which it grows; those of killed processes are found and removed."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from secateur.core.locks import LOCK_SUFFIX, acquire, hidden_stem

SUFFIX = ".secateur-aside"
OWNER, FORMER = ".secateur-owner", ".secateur-former"


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A folder that nobody else can enter.

    Attributes
    ----------
    folder : Path
        It goes when its block ends.
    file_mode : int
        Permissions that the system gives new files here: those of the umask.
    """

    folder: Path
    file_mode: int

    @property
    def former(self) -> Path:
        """Folder for what is to be put back under its name if this process dies."""
        return self.folder / FORMER


@contextmanager
def workplace(beside: Path, name: str) -> Iterator[Workplace]:
    """Make a hidden folder for the time of a block.

    Parameters
    ----------
    beside : Path
        Folder to make it in.
    name : str
        Of the file or folder that will grow in it.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{hidden_stem(name)}.", suffix=SUFFIX, dir=beside))
        try:
            owner = _own(folder / OWNER)
            break
        except (BlockingIOError, FileNotFoundError):
            continue  # taken for a leftover before it was locked
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    try:
        yield Workplace(folder=folder, file_mode=stat.S_IMODE(os.fstat(owner).st_mode))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(owner)


def remove_leftovers(beside: Path) -> None:
    """Remove what processes left that were killed while they wrote into ``beside``.

    A folder whose process lives is locked and stays. What a killed process had moved away to replace it is
    put back if its name is free.
    """
    with suppress(OSError):
        with os.scandir(beside) as entries:
            hidden = [
                entry
                for entry in entries
                if entry.name.startswith(".") and entry.name.endswith((SUFFIX, LOCK_SUFFIX))
            ]
        for entry in hidden:
            path = Path(entry.path)
            # gone, held, not ours, or on a file system that knows no locks: leave it
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    _remove_folder(path)
                elif entry.is_file(follow_symlinks=False):
                    _remove_lock(path)


def _own(path: Path) -> int:
    try:
        return acquire(path)
    except (BlockingIOError, FileNotFoundError):
        raise
    except OSError:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)


def _remove_folder(folder: Path) -> None:
    descriptor = acquire(folder / OWNER)
    try:
        former = folder / FORMER
        for entry in former.iterdir() if former.is_dir() else ():
            final = folder.parent / entry.name
            if not final.exists():
                entry.rename(final)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _remove_lock(path: Path) -> None:
    descriptor = acquire(path)
    path.unlink(missing_ok=True)
    os.close(descriptor)
