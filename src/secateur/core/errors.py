"""The one error family. Every message says what was given, what is allowed and how to fix it."""

from __future__ import annotations


class SecateurError(Exception):
    """Root of every error that secateur raises on purpose.

    Attributes
    ----------
    exit_code : int
        What the command line exits with: 2 for wrong use or unusable input, 1 for a failure.
    """

    exit_code = 1


class ConfigError(SecateurError):
    """An option, a setting or a name that is not allowed."""

    exit_code = 2


class DataError(SecateurError):
    """Recordings that are missing, damaged, or do not hold what the task needs."""

    exit_code = 2


class UnsupportedArchitecture(SecateurError):
    """A model family that no specification describes."""

    exit_code = 2


class PlanError(SecateurError):
    """A pruning plan or a budget that cannot be carried out."""

    exit_code = 2


class CheckpointError(SecateurError):
    """A checkpoint that is damaged, truncated or does not match its plan."""


class ExportError(SecateurError):
    """An export that failed or that does not reproduce its checkpoint."""


class MissingPackage(SecateurError, ModuleNotFoundError):
    """A package that is not installed; the message tells how to install it."""

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


class TransportError(SecateurError):
    """A download or a message that did not get through."""


class MeasurementError(SecateurError):
    """A measurement that could not be finished."""
