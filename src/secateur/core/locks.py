"""Lock files: one process at a time works at an output; the lock ends with its process, however that ends."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from secateur.core.errors import ConfigError
from secateur.core.processes import team
from secateur.core.provenance import command_line

LOCK_SUFFIX = ".secateur-lock"
TOLD_BYTES = 4096
"""Of a lock file, which tells who holds it."""

_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)
_held: set[Path] = set()


def acquire(path: Path) -> int:
    """Lock a file, made if need be, and return its descriptor; closing it gives the lock back.

    Raises
    ------
    BlockingIOError
        If another process holds it.
    OSError
        If the file cannot be made, or the file system knows no locks.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass  # removed by its former holder between our two calls
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Let no other process work at ``out`` while the block runs; where file systems know no locks, go on.

    Parameters
    ----------
    out : Path
        The file or folder that is to be written; need not exist. Its lock file lies beside it and goes with
        the block.

    Raises
    ------
    ConfigError
        If another process is at work there (the message says which), or a file stands where a folder must.
    """
    out = Path(out).resolve()
    if not team().writes or out in _held:
        yield
        return
    missing = [folder for folder in (out.parent, *out.parent.parents) if not folder.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        at = next(folder for folder in out.parents if folder.exists())
        raise ConfigError(f"{out} cannot be written: {at} is no folder; choose another place.") from None
    path = out.parent / f"{hidden_stem(out.name)}{LOCK_SUFFIX}"
    try:
        with _locked(path, out, "is being written by {}; wait until it is done, or choose another place."):
            yield
    finally:
        for folder in missing:
            with suppress(OSError):  # not empty: something was written
                folder.rmdir()


@contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Let no other process use a folder that stays; where file systems know no locks, go on.

    Parameters
    ----------
    folder : Path
        Made if it is not there. The lock file lies in it, since nothing beside it need be writable.

    Raises
    ------
    ConfigError
        If another process uses it; the message says which.
    """
    folder = Path(folder).resolve()
    if folder in _held:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / LOCK_SUFFIX, folder, "is in use by {}; stop that first, or choose another folder."):
        yield


@contextmanager
def _locked(path: Path, held: Path, refusal: str) -> Iterator[None]:
    try:
        descriptor = acquire(path)
    except BlockingIOError:
        raise ConfigError(f"{held} {refusal.format(_holder(path))}") from None
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise OSError(error.errno, error.strerror, str(held)) from None
        yield
        return
    _held.add(held)
    try:
        with suppress(OSError):  # a full disk: the lock holds without the words
            _tell(descriptor)
        yield
    finally:
        _held.discard(held)
        path.unlink(missing_ok=True)
        os.close(descriptor)


def hidden_stem(name: str) -> str:
    """Return the start of a hidden name beside ``name``, short enough for any file system."""
    return f".{name.encode()[:180].decode(errors='ignore')}"


def _tell(descriptor: int) -> None:
    told = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line()[: TOLD_BYTES // 4],
    }
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(told).encode(), 0)


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_bytes()[:TOLD_BYTES])
        return f"process {told['process']} on {told['host']} since {told['since']} ({told['command']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
