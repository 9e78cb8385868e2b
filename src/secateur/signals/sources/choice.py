"""Choose the channels of a data file: one rule for every format.

What is no vibration is passed over. Where more than one column is left and none was named, the choice is
refused, never made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from secateur.core.errors import DataError
from secateur.signals.sources.meaning import NEVER_VIBRATION, Kind, Meaning, meaning_of
from secateur.signals.sources.time_axis import PROBE, TimeAxis, read_time_axis

MOST_NAMED = 24
"""Columns that a message lists."""

_SIGNALS: tuple[Kind, ...] = ("signal", "words in signal")
_READABLE: tuple[Kind, ...] = (*_SIGNALS, "constant")
"""The one column that is left is taken if it is of these kinds; one with words is then refused."""

MOST_COLUMNS = 1024
"""More columns are no channels: rows and columns are swapped, or windows are stacked."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One series of values in a file.

    Attributes
    ----------
    name : str
        As the file has it; its number where it has none.
    n_samples : int
    sampling_rate_hz : float or None
        As the file's header states it for this column.
    unit : str or None
        Likewise.
    fault : str
        Why it can be no recording, such as stacked windows; empty if it can.
    """

    name: str
    n_samples: int
    sampling_rate_hz: float | None = None
    unit: str | None = None
    fault: str = ""

    @property
    def described(self) -> str:
        """Name and unit, as a header would have them."""
        return self.name if self.unit is None else f"{self.name} [{self.unit}]"


class StoredColumns(Protocol):
    """A data file as a row of columns."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def present(self) -> tuple[Column, ...]:
        """Every column of the file in order."""

    def raw(self, number: int, start: int, stop: int) -> np.ndarray:
        """Return values ``start`` to ``stop`` of a column in the file's own type, shape (stop - start,)."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What was chosen.

    Attributes
    ----------
    numbers : tuple of int
        Of the columns that are channels.
    names : tuple of str
    time_axis : TimeAxis or None
        The file's time axis, read from end to end.
    is_preferred : bool
        Whether several could be meant and the preferred one was taken.
    """

    numbers: tuple[int, ...]
    names: tuple[str, ...]
    time_axis: TimeAxis | None
    is_preferred: bool = False


def choose(stored: StoredColumns, wanted: Sequence[str], *, how: str, preferred: str | None = None) -> Choice:
    """Choose channels by name or number, or the only one that can be vibration.

    Parameters
    ----------
    stored : StoredColumns
    wanted : sequence of str
        Names, or numbers from 0; empty if the file shall leave no choice.
    how : str
        What chooses, for messages: "'columns' in the description".
    preferred : str, optional
        Name of the column to take where several could be meant: that which a model was trained on.

    Raises
    ------
    DataError
        If a name is not there or not unique, a chosen column is no signal, several could be meant, or times
        are uneven.
    """
    columns = stored.present
    _require_few(stored)
    numbers = tuple(number_of(name, columns, stored.path) for name in wanted)
    _require_samples(stored, numbers)
    lengths = {columns[number].n_samples for number in numbers}
    if len(lengths) > 1:
        raise DataError(
            f"{stored.path}: the columns {', '.join(wanted)} have lengths "
            f"{', '.join(map(str, sorted(lengths)))}; channels of one recording must be equally long."
        )
    if not columns:
        raise DataError(f"{stored.path} holds no array of numbers.")
    meanings = _meanings(stored)
    _require_waveforms(stored, meanings)
    is_preferred = False
    if numbers:
        for number in numbers:
            _require_signal(stored, columns[number], meanings[number])
    else:
        _require_no_lists(stored, meanings)
        possible = _possible(meanings)
        named = [n for n in possible if columns[n].name == preferred and not columns[n].name.isdecimal()]
        is_preferred = len(possible) > 1 and len(named) == 1
        numbers = tuple(named) if is_preferred else (_only(stored, meanings, how),)
    for number in numbers:
        _require_numbers(stored, columns[number], meanings[number])
    return Choice(
        numbers=numbers,
        names=tuple(columns[number].name for number in numbers),
        time_axis=_time_axis(stored, meanings, columns[numbers[0]].n_samples),
        is_preferred=is_preferred,
    )


def number_of(name: str, columns: Sequence[Column], path: Path) -> int:
    """Return the number of a column given by name, or by number where none has that name.

    Raises
    ------
    DataError
        If there is none, or more than one.
    """
    named = [number for number, column in enumerate(columns) if column.name == name]
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        raise DataError(
            f"{path} has {len(named)} columns called '{name}' (numbers {', '.join(map(str, named))}); "
            "choose by number."
        )
    if name.isascii() and name.isdecimal() and int(name) < len(columns):
        return int(name)
    what = "column" if any(not column.name.isdecimal() for column in columns) else "channel"
    raise DataError(f"{path} has no {what} '{name}'; it has: {listed(columns)}.")


def chosen_numbers(names: Sequence[str], columns: Sequence[Column], path: Path) -> tuple[int, ...]:
    """Return the numbers of columns given by name or number; of all columns if none is given."""
    return tuple(number_of(name, columns, path) for name in names) or tuple(range(len(columns)))


def listed(columns: Sequence[Column]) -> str:
    """Return the names of columns for a message, not more than can be read."""
    names = [column.name for column in columns[:MOST_NAMED]]
    more = len(columns) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _meanings(stored: StoredColumns) -> list[Meaning]:
    """Judge every column by its first values and by some from the middle."""
    found = []
    for number, column in enumerate(stored.present):
        if column.fault:
            found.append(Meaning(kind="text", in_words="no recording"))
            continue
        stop = min(PROBE, column.n_samples)
        meaning = meaning_of(column.described, stored.raw(number, 0, stop))
        if meaning.kind in ("constant", "held") and column.n_samples > 2 * PROBE:
            # a signal that begins late is one; what never changes must not do so in both places
            middle = column.n_samples // 2
            both = np.concatenate([stored.raw(number, 0, stop), stored.raw(number, middle, middle + PROBE)])
            meaning = meaning_of(column.described, both)
        found.append(meaning)
    return found


def _require_few(stored: StoredColumns) -> None:
    found = len(stored.present)
    if found > MOST_COLUMNS:
        raise DataError(
            f"{stored.path} has {found} columns; at most {MOST_COLUMNS} are read. One row is one moment: "
            "turn the table round if its rows are channels, or cut stacked windows apart."
        )


def _require_samples(stored: StoredColumns, chosen: Sequence[int]) -> None:
    """Check that the chosen columns hold samples of one recording; all must, where none is chosen."""
    for number in chosen or range(len(stored.present)):
        column = stored.present[number]
        if column.fault:
            raise DataError(column.fault)
        if column.n_samples == 0:
            raise DataError(
                f"{stored.path} is empty: column {number} ('{column.name}') holds no sample. If another "
                "column is the recording, choose it."
            )


def _require_waveforms(stored: StoredColumns, meanings: Sequence[Meaning]) -> None:
    for column, meaning in zip(stored.present, meanings, strict=True):
        if meaning.kind == "spectrum axis":
            raise DataError(
                f"{stored.path} holds a spectrum: '{column.name}' {meaning.in_words}. Give the waveform."
            )


def _require_no_lists(stored: StoredColumns, meanings: Sequence[Meaning]) -> None:
    """Refuse to choose where recordings may lie in cells: what stands beside them is a figure of each."""
    for column, meaning in zip(stored.present, meanings, strict=True):
        if meaning.kind == "lists":
            raise DataError(
                f"{stored.path}: '{column.name}' holds {meaning.in_words}: a recording in each row, perhaps. "
                "Store each recording as a file of its own, one row a moment; if another column is the "
                "recording, choose it."
            )


def _require_signal(stored: StoredColumns, column: Column, meaning: Meaning) -> None:
    if meaning.kind in NEVER_VIBRATION:
        raise DataError(
            f"{stored.path}: '{column.name}' was chosen as channel, but it {_is(meaning)}. It has: "
            f"{listed(stored.present)}."
        )


def _require_numbers(stored: StoredColumns, column: Column, meaning: Meaning) -> None:
    if meaning.kind == "words in signal":
        raise DataError(
            f"{stored.path}: '{column.name}' holds {meaning.in_words}. Leave the field empty where there is "
            "no value, write numbers without signs between thousands, and cut remarks off."
        )


def possible_columns(stored: StoredColumns) -> list[int]:
    """Return the numbers of the columns that may be vibration."""
    _require_few(stored)
    _require_samples(stored, ())
    meanings = _meanings(stored)
    _require_no_lists(stored, meanings)
    return [n for n in _possible(meanings) if meanings[n].kind in _READABLE]


def _possible(meanings: Sequence[Meaning]) -> list[int]:
    """Return the columns that may be vibration; where none is, those that could still be a dead sensor."""
    possible = [n for n, meaning in enumerate(meanings) if meaning.kind not in NEVER_VIBRATION]
    if len(possible) > 1:
        possible = [n for n in possible if meanings[n].kind in _SIGNALS] or possible
    return possible


def _only(stored: StoredColumns, meanings: Sequence[Meaning], how: str) -> int:
    """Return the one column that can be vibration."""
    possible = _possible(meanings)
    if len(possible) == 1 and meanings[possible[0]].kind in _READABLE:
        return possible[0]
    told = "; ".join(
        f"{column.name}: {meaning.in_words}"
        for column, meaning in list(zip(stored.present, meanings, strict=True))[:MOST_NAMED]
    )
    if len(stored.present) > MOST_NAMED:
        told += f"; and {len(stored.present) - MOST_NAMED} more"
    if not any(meaning.kind in _SIGNALS for meaning in meanings):
        raise DataError(
            f"{stored.path} holds no column that looks like vibration ({told}). If one is, choose it with "
            f"{how}."
        )
    raise DataError(
        f"{stored.path} holds {len(possible)} columns that may be vibration; choose one with {how}. It has "
        f"{told}."
    )


def _time_axis(stored: StoredColumns, meanings: Sequence[Meaning], n_samples: int) -> TimeAxis | None:
    """Read every time axis of the channels' length; they must tell one rate."""
    axes = [
        read_time_axis(
            column.name,
            partial(stored.raw, number),
            n_samples,
            f"{stored.path}, column '{column.name}'",
        )
        for number, (column, meaning) in enumerate(zip(stored.present, meanings, strict=True))
        if meaning.kind == "time axis" and column.n_samples == n_samples
    ]
    rates = [(axis, axis.sampling_rate_hz) for axis in axes if axis.sampling_rate_hz is not None]
    for axis, rate in rates[1:]:
        if not rates[0][0].agrees(rate):
            raise DataError(
                f"{stored.path}: the column '{rates[0][0].name}' tells {rates[0][1]:.6g} Hz and "
                f"'{axis.name}' {rate:.6g} Hz; remove the one that is wrong."
            )
    return rates[0][0] if rates else next(iter(axes), None)


def _is(meaning: Meaning) -> str:
    verbs = ("rises", "falls", "never", "hardly", "holds")
    return meaning.in_words if meaning.in_words.startswith(verbs) else f"is {meaning.in_words}"
