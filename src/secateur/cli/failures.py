"""What the command line says, and exits with, when something goes wrong."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from secateur.core.errors import SecateurError

TRAIN_PACKAGES = frozenset(
    ("torch", "transformers", "accelerate", "peft", "safetensors", "sklearn", "onnx", "onnxruntime")
)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One message for a person, one kind for a program.

    Attributes
    ----------
    kind : str
        Name of the error class, or ``Interrupted`` or ``DiskFull``.
    message : str
        What happened and how to go on.
    exit_code : int
        2 for wrong use or unusable input, 1 for a failure.
    """

    kind: str
    message: str
    exit_code: int


def describe(error: BaseException) -> Failure | None:
    """Return what to say about an error; None for one that nobody foresaw and that needs its traceback."""
    if isinstance(error, SecateurError):
        return Failure(kind=type(error).__name__, message=str(error), exit_code=error.exit_code)
    if isinstance(error, KeyboardInterrupt):
        return Failure(
            kind="Interrupted",
            message="interrupted; nothing half-written was left. Run the same command again to go on.",
            exit_code=1,
        )
    if _is_disk_full(error):
        return Failure(
            kind="DiskFull",
            message=f"the disk is full ({error}); free some space, then run the same command again.",
            exit_code=1,
        )
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] in TRAIN_PACKAGES:
        return Failure(
            kind="MissingPackage",
            message=f"this command needs the package '{error.name}'; run: pip install 'secateur[train]'",
            exit_code=1,
        )
    if isinstance(error, OSError):
        return Failure(kind=type(error).__name__, message=_file_trouble(error), exit_code=1)
    return None


def _is_disk_full(error: BaseException) -> bool:
    # libraries that write for us wrap the system's error in their own class and keep only its text
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return isinstance(error, Exception) and "No space left on device" in str(error)


def _file_trouble(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{reason[:1].lower()}{reason[1:]}: {error.filename}" if error.filename else reason
