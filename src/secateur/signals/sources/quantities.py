"""Read from a column's name what it measures and in which unit: ``acc_x [g]``, ``time_ms``."""

from __future__ import annotations

import re
from typing import Literal

Quantity = Literal[
    "acceleration", "velocity", "displacement", "time", "counter", "label", "temperature", "shaft speed",
    "torque", "force", "pressure", "current", "voltage", "humidity", "angle", "power", "frequency",
]  # fmt: skip

VIBRATION: tuple[Quantity, ...] = ("acceleration", "velocity", "displacement")

TIME_UNITS_S = {
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "usec", "µsec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nanosecond", "nanoseconds"), 1e-9),
}  # fmt: skip

UNITS: dict[str, Quantity] = {
    **dict.fromkeys(("g", "mg", "m/s2", "m/s^2", "m/s²", "mm/s2", "mm/s^2", "mm/s²", "in/s2"),
                    "acceleration"),
    **dict.fromkeys(("mm/s", "m/s", "in/s", "ips", "um/s", "µm/s", "μm/s"), "velocity"),
    **dict.fromkeys(("um", "µm", "μm", "mm", "mil", "mils"), "displacement"),
    **dict.fromkeys(TIME_UNITS_S, "time"),
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

_WORDS: dict[str, Quantity] = {
    **dict.fromkeys(("acc", "accel", "acceleration", "accelerometer", "beschleunigung", "vib", "vibration"),
                    "acceleration"),
    **dict.fromkeys(("velocity",), "velocity"),
    **dict.fromkeys(("displacement",), "displacement"),
    **dict.fromkeys(("t", "ts", "time", "timestamp", "datetime", "date", "zeit", "epoch", "elapsed"), "time"),
    **dict.fromkeys(("index", "idx", "counter"), "counter"),
    **dict.fromkeys(("label", "labels", "class", "target"), "label"),
    **dict.fromkeys(("temp", "temperature", "temperatur"), "temperature"),
    **dict.fromkeys(("rpm", "speed", "drehzahl", "tacho", "keyphasor", "encoder"), "shaft speed"),
    **dict.fromkeys(("torque", "drehmoment"), "torque"),
    **dict.fromkeys(("force",), "force"),
    **dict.fromkeys(("pressure", "druck"), "pressure"),
    **dict.fromkeys(("current", "strom"), "current"),
    **dict.fromkeys(("voltage", "spannung"), "voltage"),
    **dict.fromkeys(("humidity",), "humidity"),
    **dict.fromkeys(("angle",), "angle"),
    **dict.fromkeys(("frequency", "freq", "frequenz"), "frequency"),
}  # fmt: skip

_CLEAR_UNITS = ("rpm", "degc", "degf", "hz", "khz", "ips")
"""Units that need no brackets: a single letter behind a name is rather an axis or a bearing."""

_BRACKETED = re.compile(r"[\[(<{]\s*([^\])>}]+?)\s*[\])>}]")
_WORD = re.compile(r"[A-Z]?[a-zäöüß]+|[A-Z]+(?![a-z])")


def are_same_unit(one: str, other: str) -> bool:
    """Say whether two spellings are of one unit: ``m/s^2`` and ``m/s²``, ``um`` and ``µm``."""
    return plain_unit(one) == plain_unit(other)


def plain_unit(unit: str) -> str:
    """Return the one spelling of a unit that all its spellings share, such as ``m/s2``."""
    plain = unit.strip().lower().replace("^", "").replace("²", "2").replace("µ", "u").replace("μ", "u")
    return {"ips": "in/s", "mils": "mil"}.get(plain, plain)


def unit_of(name: str) -> str | None:
    """Return the unit that a column's name holds, in its usual spelling.

    ``acc [m/s^2]`` gives ``m/s^2``; behind a name without brackets a unit counts if the name says the same
    quantity: ``time_ms`` gives ``ms``, ``acc_g`` gives ``g``, ``bearing_a`` and ``DE`` give None.
    """
    for found in _BRACKETED.findall(name):
        if found.lower() in UNITS:
            return found
    *before, last = re.split(r"[_\s.,;:-]+", name.strip())
    quantity = UNITS.get(last.lower())
    if not before or quantity is None:
        return None
    named = _named(" ".join(before))
    fits = named == quantity or (named in VIBRATION and quantity in VIBRATION)
    return last if fits or "/" in last or last.lower() in _CLEAR_UNITS else None


def unknown_unit_of(name: str) -> str | None:
    """Return the word in brackets in a column's name that is no known unit: ``Time [fortnights]``."""
    words = [found for found in _BRACKETED.findall(name) if re.fullmatch(r"[^\d\s]{1,16}", found)]
    return words[-1] if words and unit_of(name) is None else None


def quantity_of(name: str) -> Quantity | None:
    """Return what a column's name says it measures; None if it does not say.

    A word of vibration counts anywhere. Of other quantities the first or the last word does: a
    ``high_speed_bearing`` measures no speed.
    """
    # MATLAB's structure.field: the field is the name
    own = name.rpartition(".")[2] or name
    named, unit = _named(own), unit_of(own)
    by_unit = UNITS[unit.lower()] if unit else None
    if by_unit in VIBRATION and named in (None, *VIBRATION):
        return by_unit
    if named == "time" and by_unit is not None:
        return by_unit  # T [degC] is no time
    return named or by_unit


def _named(name: str) -> Quantity | None:
    words = [word.lower() for word in _WORD.findall(_BRACKETED.sub(" ", name))]
    known = [_WORDS[word] for word in words if _WORDS.get(word) in VIBRATION]
    ends = [_WORDS[word] for word in (*words[:1], *words[-1:]) if word in _WORDS]
    return next(iter((*known, *ends)), None)


def seconds_in(unit: str | None) -> float | None:
    """Return how many seconds a unit of time has; None for another unit or none."""
    return None if unit is None else TIME_UNITS_S.get(unit.lower())
