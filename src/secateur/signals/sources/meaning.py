"""Tell what a column of a data file holds: vibration, or times, counts, words, a temperature, labels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from secateur.signals.sources.quantities import VIBRATION, Quantity, quantity_of, unit_of
from secateur.signals.sources.time_axis import LEAST_SAMPLES, SINCE_1970, is_count, is_ramp

Kind = Literal[
    "signal", "words in signal", "time axis", "counter", "text", "lists", "complex", "spectrum axis", "held",
    "constant", "other quantity",
]  # fmt: skip

NEVER_VIBRATION: tuple[Kind, ...] = ("time axis", "counter", "text", "lists", "complex", "spectrum axis")
"""Refused even when chosen by name: no sensor gives these."""

_HELD_SHARE = 0.95

_MOSTLY = 0.5
"""Share of numbers above which words among them are a logger's (``OVL``, ``--``), and no text."""

_LISTS = re.compile(
    r"^(?:<object>|<.*(?:double|float|int|decimal)"
    r"|[\[(][-+.\deE]+\s*[,;\s][-+.\deE,;\s]*[\])]?$)"
)
"""A cell that holds objects, nested numbers of Parquet, or ``[0.1, 0.2, ...``."""


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a column holds.

    Attributes
    ----------
    kind : str
        "signal" if it may be vibration; "words in signal" if it may be but cannot be read.
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
    if values.dtype.kind == "M" and (values == values.astype("datetime64[D]")).all():
        return Meaning(kind="text", in_words="dates without a time of day")
    if values.dtype.kind in "Mm":
        return Meaning(kind="time axis", in_words="dates")
    if values.dtype.kind == "b":
        return Meaning(kind="other quantity", in_words="true or false")
    if values.dtype.kind == "c":
        return Meaning(kind="complex", in_words="complex numbers, of which a part would be lost")
    if values.dtype.kind not in "biuf":
        word = _first_word(values)
        if values.dtype.names or _LISTS.match(word):
            return Meaning(kind="lists", in_words=f"several values in one, such as {word!r}")
        if _is_signal_with_words(name, values):
            row = next(n for n, value in enumerate(values.tolist(), start=1) if str(value)[:40] == word)
            return Meaning(
                kind="words in signal", in_words=f"numbers with words, the first {word!r} in row {row}"
            )
        return Meaning(kind="text", in_words=f"text, such as {word!r}")
    numbers = values.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if len(finite) == 0:
        return Meaning(kind="constant", in_words="empty")
    is_time = quantity == "time"
    if is_count(finite) and not (is_time and (unit_of(name) is not None or finite[0] > SINCE_1970)):
        return Meaning(kind="counter", in_words="a row number")
    if is_ramp(finite) or (is_time and is_ramp(-finite)):
        return _ramp(quantity)
    if is_ramp(-finite):
        return Meaning(kind="counter", in_words="falls in even steps")
    if is_time and len(finite) >= LEAST_SAMPLES and (np.diff(finite) >= 0).mean() > 0.9:
        return Meaning(kind="time axis", in_words="a time axis")
    if len(finite) >= LEAST_SAMPLES:
        if finite.min() == finite.max():
            return Meaning(kind="constant", in_words="never changes")
        if (np.diff(finite) == 0).mean() > _HELD_SHARE:
            return Meaning(kind="held", in_words="hardly ever changes, as labels or temperatures do")
    # times and counts were told by their values; X105_DE_time is a waveform
    if quantity not in (None, "time", "counter", *VIBRATION):
        return Meaning(kind="other quantity", in_words=f"{quantity} by its name")
    return Meaning(kind="signal", in_words="may be vibration")


def _ramp(quantity: Quantity | None) -> Meaning:
    if quantity == "frequency":
        return Meaning(kind="spectrum axis", in_words="rises in even steps of frequency")
    if quantity in (None, "time", "counter"):
        return Meaning(kind="time axis", in_words="rises in even steps: a time axis")
    return Meaning(kind="counter", in_words=f"rises in even steps, {quantity} by its name")


def _is_signal_with_words(name: str, values: np.ndarray) -> bool:
    """Say whether values are those of a sensor but for some words: most are numbers, or its name says so."""
    numbers = np.array([number for value in values.tolist() if (number := _number(value)) is not None])
    if not len(numbers):
        return False
    if quantity_of(name) in VIBRATION:
        return True
    return len(numbers) > _MOSTLY * len(values) and meaning_of(name, numbers).kind == "signal"


def _number(value: object) -> float | None:
    try:
        return float(str(value).replace(",", "."))
    except ValueError:
        return None


def _first_word(values: np.ndarray) -> str:
    """Return the first value that is no number."""
    for value in values.reshape(-1).tolist():
        try:
            float(value)
        except (TypeError, ValueError):
            return str(value)[:40]
    return str(values.reshape(-1)[0])[:40]
