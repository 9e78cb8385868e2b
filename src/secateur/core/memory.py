"""Memory and traffic of this process, and sizes in words."""

from __future__ import annotations

import ctypes
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

from secateur.core.errors import ConfigError

UNITS = {
    "": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""

_STATUS, _IO = Path("/proc/self/status"), Path("/proc/self/io")


def parse_size(text: str) -> int:
    """Read a size such as ``4GiB``, ``800 MB`` or ``5000000000``.

    Raises
    ------
    ConfigError
        If it is not a positive number with one of the known units.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    unit = UNITS.get(found[2].lower().removesuffix("ytes")) if found else None
    size = int(float(found[1]) * unit) if found and unit else 0
    if size < 1:
        raise ConfigError(f"'{text}' is not a size; write a number and MiB, GiB, MB or GB, such as 4GiB.")
    return size


def in_words(n_bytes: int) -> str:
    """Return a size as people read it, such as ``3.71 GiB``."""
    for name, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n_bytes >= size:
            return f"{n_bytes / size:.2f} {name}"
    return f"{n_bytes} bytes"


def resident_bytes() -> int:
    """Return the memory that this process holds now; where the system does not tell it, its peak."""
    return _status("VmRSS") or peak_resident_bytes()


def peak_resident_bytes() -> int:
    """Return the most memory that this process has held since it started."""
    # Linux hands the peak of the parent on to a child in getrusage, not in /proc
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _status("VmHWM") or (usage if sys.platform == "darwin" else usage * 1024)


def give_back_freed_memory() -> bool:
    """Let blocks of 1 MiB and more go back to the system once they are freed; return whether that works.

    The allocator of glibc otherwise keeps blocks of up to 32 MiB in a heap that other blocks hold open: a
    process that works through many large tensors then grows to nearly twice what it holds.
    """
    try:
        return bool(ctypes.CDLL("libc.so.6").mallopt(M_MMAP_THRESHOLD, 2**20))
    except (OSError, AttributeError):
        return False


def trim_heap() -> None:
    """Hand whole pages that are free in the heap of glibc back to the system, at little cost."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def traffic_bytes() -> tuple[int, int] | None:
    """Return the bytes that this process has read and written so far; None where the system does not tell."""
    try:
        fields = dict(line.split(": ") for line in _IO.read_text("ascii").splitlines())
        return int(fields["rchar"]), int(fields["wchar"])
    except (OSError, KeyError, ValueError):
        return None


def _status(name: str) -> int:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text("ascii"), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
