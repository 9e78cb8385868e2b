"""What the system says a process holds: ``/proc/self/status``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from secateur.core.errors import MeasurementError

STATUS = Path("/proc/self/status")
NO_STATUS = "this system has no /proc/self/status, so memory is not measured"


@dataclass(frozen=True, kw_only=True)
class Resident:
    """Resident memory of a process in bytes, now (``VmRSS``) and at its peak since its start (``VmHWM``)."""

    now: int
    peak: int


def parse_status(text: str) -> Resident:
    """Read the content of a status file.

    Raises
    ------
    MeasurementError
        If a line is missing or has another form.
    """
    found = {}
    for name in ("VmRSS", "VmHWM"):
        line = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
        if line is None:
            raise MeasurementError(f"the status of the process has no line '{name}: ... kB'.")
        found[name] = 1024 * int(line[1])
    return Resident(now=found["VmRSS"], peak=found["VmHWM"])


def resident(path: Path = STATUS) -> Resident | None:
    """Return what this process holds; None where the system does not tell."""
    try:
        return parse_status(path.read_text("ascii"))
    except FileNotFoundError:
        return None
