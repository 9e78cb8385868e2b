"""What a check found: how grave it is, what it concerns, and how to mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from secateur.core.errors import DataError

_SHOWN = 5
_GRAVITY = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that a check found.

    Parameters
    ----------
    severity : {'error', 'warning', 'note'}
        An error makes the data unusable as they are; a warning can make results misleading.
    code : str
        Short name of the check.
    subject : str
        The recording, group, class or data set concerned.
    message : str
        What was found and what to do.
    """

    severity: Literal["error", "warning", "note"]
    code: str
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}"


def error(code: str, subject: str, message: str) -> Finding:
    """Return a finding that makes the data unusable."""
    return Finding(severity="error", code=code, subject=subject, message=message)


def warning(code: str, subject: str, message: str) -> Finding:
    """Return a finding that can make results misleading."""
    return Finding(severity="warning", code=code, subject=subject, message=message)


def note(code: str, subject: str, message: str) -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(severity="note", code=code, subject=subject, message=message)


def gravest_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return errors, then warnings, then notes, each in the order found."""
    return sorted(findings, key=lambda finding: _GRAVITY[finding.severity])


def refuse(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings if none is an error.

    Raises
    ------
    DataError
        If there are errors; the message holds the first of them.
    """
    found = list(findings)
    errors = [finding for finding in found if finding.severity == "error"]
    if errors:
        more = f" And {len(errors) - _SHOWN} more." if len(errors) > _SHOWN else ""
        raise DataError("\n".join(str(finding) for finding in errors[:_SHOWN]) + more)
    return found
