"""Read from a column's name what it measures and in which unit: ``acc_x [g]``, ``time_ms``."""

from __future__ import annotations

import re
from typing import Literal

Quantity = Literal[
    "acceleration", "velocity", "displacement", "time", "counter", "label", "temperature", "shaft speed",
    "torque", "force", "pressure", "current", "voltage", "humidity", "angle", "power", "frequency",
]  # fmt: skip

VIBRATION: tuple[Quantity, ...] = ("acceleration", "velocity", "displacement")

UNITS: dict[str, Quantity] = {
    **dict.fromkeys(("g", "mg", "m/s2", "m/s^2", "m/s²", "mm/s2", "mm/s^2", "in/s2"), "acceleration"),
    **dict.fromkeys(("mm/s", "m/s", "in/s", "ips", "um/s"), "velocity"),
    **dict.fromkeys(("um", "µm", "mm", "mil", "mils"), "displacement"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "ms", "us", "µs", "ns"), "time"),
    **dict.fromkeys(("degc", "°c", "degf", "°f", "celsius"), "temperature"),
    **dict.fromkeys(("rpm", "1/min", "u/min", "min-1"), "shaft speed"),
    **dict.fromkeys(("nm", "n·m", "n*m"), "torque"),
    **dict.fromkeys(("n", "kn", "lbf"), "force"),
    **dict.fromkeys(("bar", "pa", "kpa", "mpa", "psi"), "pressure"),
    **dict.fromkeys(("a", "ma"), "current"),
    **dict.fromkeys(("v", "mv"), "voltage"),
    **dict.fromkeys(("deg", "rad"), "angle"),
    **dict.fromkeys(("w", "kw", "hp"), "power"),
    **dict.fromkeys(("hz", "khz"), "frequency"),
}  # fmt: skip
"""Units by their usual spelling in lower case; an accelerometer's raw volts are no acceleration by name."""

TIME_UNITS_S = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9,
}  # fmt: skip

_WORDS: dict[str, Quantity] = {
    **dict.fromkeys(("acc", "accel", "acceleration", "accelerometer", "beschleunigung", "vib", "vibration"),
                    "acceleration"),
    **dict.fromkeys(("velocity",), "velocity"),
    **dict.fromkeys(("displacement",), "displacement"),
    **dict.fromkeys(("time", "timestamp", "timestamps", "datetime", "date", "zeit", "epoch"), "time"),
    **dict.fromkeys(("index", "idx", "counter", "count", "sample", "row", "nr", "id"), "counter"),
    **dict.fromkeys(("label", "labels", "class", "target", "fault", "state", "category"), "label"),
    **dict.fromkeys(("temp", "temperature", "temperatur"), "temperature"),
    **dict.fromkeys(("rpm", "speed", "drehzahl", "tacho", "keyphasor", "encoder"), "shaft speed"),
    **dict.fromkeys(("torque", "drehmoment"), "torque"),
    **dict.fromkeys(("force", "load"), "force"),
    **dict.fromkeys(("pressure", "druck"), "pressure"),
    **dict.fromkeys(("current", "strom"), "current"),
    **dict.fromkeys(("voltage", "spannung"), "voltage"),
    **dict.fromkeys(("humidity",), "humidity"),
    **dict.fromkeys(("angle", "position", "phase"), "angle"),
    **dict.fromkeys(("power",), "power"),
    **dict.fromkeys(("frequency", "freq", "frequenz"), "frequency"),
}  # fmt: skip

_BRACKETED = re.compile(r"[\[(<{]\s*([^\])>}]+?)\s*[\])>}]")
_PARTS = re.compile(r"[A-Z]?[a-zäöüß²µ°]+|[A-Z]+(?![a-z])|\d+")


def unit_of(name: str) -> str | None:
    """Return the unit that a column's name ends with or holds in brackets, in its usual spelling.

    ``acc [m/s^2]`` gives ``m/s^2``, ``time_ms`` gives ``ms``, ``DE`` gives None.
    """
    for found in _BRACKETED.findall(name):
        if found.lower() in UNITS:
            return found
    parts = re.split(r"[_\s.,;:-]+", name.strip())
    return parts[-1] if len(parts) > 1 and parts[-1].lower() in UNITS else None


def quantity_of(name: str) -> Quantity | None:
    """Return what a column's name says it measures; None if it does not say."""
    words = [part.lower() for part in _PARTS.findall(_BRACKETED.sub(" ", name))]
    named = next((_WORDS[word] for word in words if word in _WORDS), None)
    unit = unit_of(name)
    by_unit = UNITS[unit.lower()] if unit else None
    if by_unit in VIBRATION and named in (None, *VIBRATION):
        return by_unit
    if words == ["t"]:
        return "time"
    return named or by_unit


def seconds_in(unit: str | None) -> float | None:
    """Return how many seconds a unit of time has; None for another unit or none."""
    return None if unit is None else TIME_UNITS_S.get(unit.lower())
