"""What the command line says, and exits with, when something goes wrong."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass, replace

from secateur.cli.crash_report import save_report
from secateur.core.errors import SecateurError
from secateur.core.extras import how_to_install

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

MOST_WORDS = 300
"""Characters of an unforeseen error's own message; the report has all."""

_OUT_OF_MEMORY = re.compile(r"(?i)out of memory|can't allocate memory|cannot allocate memory|bad_?alloc")
"""What torch and ONNX Runtime say of it, in errors of their own."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One message for a person, one kind for a program.

    Attributes
    ----------
    kind : str
        Name of the error class, or ``Interrupted``, ``DiskFull``, ``FileTooLarge``, ``OutOfMemory`` or
        ``BrokenPipe``.
    message : str
        What happened and how to go on; empty where nobody listens any more.
    exit_code : int
        2 for wrong use or unusable input, 1 for a failure.
    """

    kind: str
    message: str
    exit_code: int


def describe(error: BaseException) -> Failure:
    """Return what to say about an error; of one that nobody foresaw, a report is written to a file.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    Failure
        Its message is one line without characters that a terminal obeys, whatever names of files or words
        of other libraries are in it.
    """
    failure = _described(error)
    line = re.sub(r"\s*[\r\n]\s*", " ", failure.message.strip())
    return replace(failure, message=_CONTROL.sub(lambda found: repr(found[0])[1:-1], line))


def _described(error: BaseException) -> Failure:
    if _is_disk_full(error):
        return Failure(
            kind="DiskFull",
            message=f"the disk is full ({_in_one_line(error)[2:]}); free some space, then run the same "
            "command again.",
            exit_code=1,
        )
    if isinstance(error, SecateurError):
        return Failure(kind=type(error).__name__, message=str(error), exit_code=error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Failure(
            kind="Interrupted",
            message="interrupted; nothing half-written was left. Run the same command again to go on.",
            exit_code=1,
        )
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return Failure(
            kind="FileTooLarge",
            message=f"the file system or the limit of this shell ('ulimit -f') takes no file of this size: "
            f"{error.filename or 'unknown'}.",
            exit_code=1,
        )
    if isinstance(error, ModuleNotFoundError):
        name = str(error.name).partition(".")[0]
        if command := how_to_install(name):
            return Failure(
                kind="MissingPackage",
                message=f"this command needs the package '{name}', which is not installed; run: {command}",
                exit_code=1,
            )
    if isinstance(error, BrokenPipeError):
        return Failure(kind="BrokenPipe", message="", exit_code=1)
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(_words(error)):
        return Failure(
            kind="OutOfMemory",
            message="there is not enough memory for this; end other programs, or ask for smaller batches, "
            f"fewer samples or, where the command has it, --max-memory.{_reported(error)}",
            exit_code=1,
        )
    if isinstance(error, OSError):
        return Failure(kind=type(error).__name__, message=_file_trouble(error), exit_code=1)
    return Failure(
        kind=type(error).__name__,
        message=f"this was not foreseen: {type(error).__name__}{_in_one_line(error)}.{_reported(error)}",
        exit_code=1,
    )


def _reported(error: BaseException) -> str:
    path = save_report(error)
    return "" if path is None else f" What is needed to find the cause stands in {path}; please report it."


def _in_one_line(error: BaseException) -> str:
    told = " ".join(_words(error).split()).rstrip(".")
    return f", {told[:MOST_WORDS]}{'...' if len(told) > MOST_WORDS else ''}" if told else ""


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an error that cannot tell itself
        return ""


def _is_disk_full(error: BaseException) -> bool:
    # libraries that write for us wrap the system's error in their own class and keep only its text
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return isinstance(error, Exception) and "No space left on device" in _words(error)


def _file_trouble(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{reason[:1].lower()}{reason[1:]}: {error.filename}" if error.filename else reason
