"""Tell what a column of a data file holds: vibration, or times, counts, words, a temperature, labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from secateur.signals.sources.quantities import VIBRATION, quantity_of
from secateur.signals.sources.time_axis import LEAST_SAMPLES, is_count, is_ramp

Kind = Literal["signal", "time axis", "counter", "text", "complex", "held", "constant", "other quantity"]

NEVER_VIBRATION: tuple[Kind, ...] = ("time axis", "counter", "text", "complex")
"""Refused even when chosen by name: no sensor gives these."""

_HELD_SHARE = 0.95


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a column holds.

    Attributes
    ----------
    kind : str
        "signal" if it may be vibration.
    in_words : str
        For messages: "a time axis", "never changes", "temperature by its name".
    """

    kind: Kind
    in_words: str


def meaning_of(name: str, values: np.ndarray) -> Meaning:
    """Judge a column by its name and some of its values, in the file's own type.

    Parameters
    ----------
    name : str
    values : ndarray, shape (samples,)
        Consecutive values; eight or more, or the name alone decides.
    """
    quantity = quantity_of(name)
    if values.dtype.kind in "Mm":
        return Meaning(kind="time axis", in_words="dates")
    if values.dtype.kind == "c":
        return Meaning(kind="complex", in_words="complex numbers, of which a part would be lost")
    if values.dtype.kind not in "biuf":
        return Meaning(kind="text", in_words="text")
    numbers = values.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if len(finite) == 0:
        return Meaning(kind="constant", in_words="empty")
    if is_count(finite) and not (quantity == "time" and finite[0] > 1e9):
        return Meaning(kind="counter", in_words="a row number")
    if is_ramp(finite):
        return Meaning(kind="time axis", in_words="rises in even steps: a time axis")
    if is_ramp(-finite):
        return Meaning(kind="counter", in_words="falls in even steps")
    if quantity == "time" and len(finite) >= LEAST_SAMPLES and (np.diff(finite) >= 0).mean() > 0.9:
        return Meaning(kind="time axis", in_words="a time axis")
    if len(finite) >= LEAST_SAMPLES:
        if finite.min() == finite.max():
            return Meaning(kind="constant", in_words="never changes")
        if (np.diff(finite) == 0).mean() > _HELD_SHARE:
            return Meaning(kind="held", in_words="hardly ever changes, as labels or temperatures do")
    if quantity is not None and quantity not in VIBRATION:
        return Meaning(kind="other quantity", in_words=f"{quantity} by its name")
    return Meaning(kind="signal", in_words="may be vibration")
