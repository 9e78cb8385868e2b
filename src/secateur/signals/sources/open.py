"""Open one waveform file of any supported format: its channels, its rate, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.documents import require_regular_file
from secateur.core.errors import DataError
from secateur.signals.recording import WaveformSource
from secateur.signals.sources.choice import Choice, Column, choose
from secateur.signals.sources.extras import required
from secateur.signals.sources.orientation import require_real
from secateur.signals.sources.quantities import TIME_UNITS_S, UNITS, VIBRATION, quantity_of, unit_of
from secateur.signals.sources.stated import (
    SPEED_TOLERANCE,
    Statement,
    agreed,
    rate_among,
    rate_in_name,
    speed_among,
)
from secateur.signals.sources.text_format import DEFAULT_TEXT, TextFormat
from secateur.signals.sources.time_axis import PROBE, TimeAxis

DELIMITED_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".asc")
SUFFIXES = (
    *DELIMITED_SUFFIXES,
    *(".wav", ".flac", ".mat", ".npy", ".npz", ".parquet", ".tdms", ".lvm", ".uff", ".unv"),
)
"""A file without one of these endings is read as text if it is text, as IMS's ``2003.10.22.12.06.24``."""

SPEED_PIECES = 16
"""Places of a recording at which a column of speeds is looked at."""

IN_COLUMNS = "'columns: [name]' in a description, or --channel"


@dataclass(frozen=True, kw_only=True)
class OpenedFile:
    """A waveform file, its channels chosen.

    Attributes
    ----------
    path : Path
    source : WaveformSource
        The chosen channels alone.
    channels : tuple of str
        A name for each.
    time_axis : TimeAxis or None
        The file's own times, read from end to end.
    statements : tuple of Statement
        Sampling rates that header, fields and name state; the name last.
    speed : Statement or None
        Shaft speed in rpm that the file states.
    unit : str or None
        Of the channels, where their names or the file say.
    is_preferred : bool
        Whether several could be meant and the preferred one was taken.
    """

    path: Path
    source: WaveformSource
    channels: tuple[str, ...]
    time_axis: TimeAxis | None
    statements: tuple[Statement, ...]
    speed: Statement | None
    unit: str | None
    is_preferred: bool = False

    def rate(self, said: Statement | None, where: str) -> Statement | None:
        """Return the sampling rate in Hz; None if nobody states it.

        Parameters
        ----------
        said : Statement or None
            What is said outside the file.
        where : str
            For messages.

        Raises
        ------
        DataError
            If two statements, the time axis among them, contradict each other.
        """
        in_name = [each for each in self.statements if each.said_by == "the file's name"]
        told = agreed([said, *(each for each in self.statements if each not in in_name)], "Hz", where)
        axis = self.time_axis
        if axis is not None:
            if told is None and axis.sampling_rate_hz is not None:
                told = Statement(value=axis.sampling_rate_hz, said_by=f"the column '{axis.name}'")
            elif told is not None and not axis.agrees(told.value):
                raise DataError(
                    f"{where}: {told.said_by} says {told.value:.6g} Hz and the column '{axis.name}' "
                    f"{_in_words(axis)}; correct the one that is wrong."
                )
        if told is not None:
            agreed([told, *in_name], "Hz", where)
        return told

    @property
    def why_no_rate(self) -> str:
        """What hinders the time axis from telling the rate, in words; empty if there is none."""
        axis = self.time_axis
        if axis is not None and axis.unknown_unit:
            return (
                f" (the unit '{axis.unknown_unit}' of '{axis.name}' is not known; known are "
                f"{', '.join(TIME_UNITS_S)})"
            )
        if axis is None or not axis.is_coarse:
            return ""
        return f" (the times of '{axis.name}' are rounded too coarsely to tell it)"


def _in_words(axis: TimeAxis) -> str:
    rate = axis.sampling_rate_hz
    return f"steps of {axis.step:.6g}" if rate is None else f"{rate:.6g} Hz (steps of {axis.step:.6g})"


@dataclass(frozen=True)
class _Picked:
    """Some channels of a source that has no names for them."""

    source: WaveformSource
    numbers: tuple[int, ...]

    @property
    def n_channels(self) -> int:
        return len(self.numbers)

    @property
    def n_samples(self) -> int:
        return self.source.n_samples

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.source.read(start, stop)[list(self.numbers)]


def open_source(
    path: Path,
    columns: Sequence[str] = (),
    text: TextFormat = DEFAULT_TEXT,
    *,
    how: str = IN_COLUMNS,
    preferred: str | None = None,
    may_name: bool = True,
) -> OpenedFile:
    """Open a waveform file by its ending.

    Parameters
    ----------
    path : Path
        A file with one of ``SUFFIXES``, or a text file.
    columns : sequence of str
        Columns (CSV, Parquet), arrays (NPZ), variables (MAT) or channels to read, by name or number. May be
        empty where only one can be vibration. WAV and NPY have no names: there as many names as channels
        name them in order.
    text : TextFormat
        How numbers are written, for delimited text.
    how : str
        What chooses columns, for messages.
    preferred : str, optional
        Name of the column to take where several could be meant.
    may_name : bool
        Whether ``columns`` may give names to channels that have none; otherwise they only choose.

    Raises
    ------
    DataError
        If the format is not supported, the file is damaged, several columns could be meant, a chosen one is
        no signal, or the file contradicts itself.
    """
    require_regular_file(path)
    columns = tuple(columns)
    stored, scalars = _stored(path, text)
    names: tuple[str, ...] = ()
    if not hasattr(stored, "columns") and may_name and not all(name.isdecimal() for name in columns):
        if len(columns) != stored.n_channels:
            raise DataError(
                f"{path} has {stored.n_channels} channels and {len(columns)} "
                f"{'name was' if len(columns) == 1 else 'names were'} given ({', '.join(columns)}); "
                "name them all in order, or choose by number."
            )
        names, columns = columns, tuple(map(str, range(stored.n_channels)))
    columns = _whole_arrays(columns, stored)
    choice = choose(stored, columns, how=how, preferred=preferred)
    for number in choice.numbers:
        require_real(stored.raw(number, 0, 1).dtype, f"{path} [{stored.present[number].name}]")
    chosen = [stored.present[number] for number in choice.numbers]
    return OpenedFile(
        path=path,
        source=_chosen(stored, choice),
        channels=names or choice.names,
        time_axis=choice.time_axis,
        statements=tuple(
            s for s in (_rate(chosen, path), rate_among(scalars, str(path)), rate_in_name(path)) if s
        ),
        speed=speed_among(scalars) or _speed_column(stored, path),
        unit=_unit(chosen[0]),
        is_preferred=choice.is_preferred,
    )


def open_columns(path: Path, text: TextFormat = DEFAULT_TEXT) -> Any:
    """Open a file as all of its columns; see ``StoredColumns``."""
    return _stored(path, text)[0]


def _stored(path: Path, text: TextFormat) -> tuple[Any, dict[str, float]]:
    """Return the file as columns, and the single numbers that it holds."""
    suffix = path.suffix.lower()
    # each reader brings a library of its own; a device that reads WAV need not load the rest
    if suffix == ".parquet":
        required("pyarrow.parquet", f"{path} is a Parquet file")
        from secateur.signals.sources.parquet import ParquetSource

        return ParquetSource(path), {}
    if suffix in (".wav", ".flac"):
        from secateur.signals.sources.wav import WavSource

        return WavSource(path), {}
    if suffix == ".npy":
        from secateur.signals.sources.npy import NpySource

        return NpySource(path), {}
    if suffix == ".npz":
        from secateur.signals.sources.npz import NpzSource, npz_scalars

        return NpzSource(path), npz_scalars(path)
    if suffix == ".mat":
        from secateur.signals.sources.mat import MatSource, mat_scalars

        return MatSource(path), mat_scalars(path)
    if suffix == ".tdms":
        from secateur.signals.sources.tdms import TdmsSource, tdms_scalars

        return TdmsSource(path), tdms_scalars(path)
    if suffix == ".lvm":
        from secateur.signals.sources.lvm import LvmSource

        return LvmSource(path), {}
    if suffix in (".uff", ".unv"):
        from secateur.signals.sources.uff import UffSource

        return UffSource(path), {}
    if suffix in DELIMITED_SUFFIXES or _is_text(path):
        from secateur.signals.sources.delimited import DelimitedSource

        return DelimitedSource(path, (), text), {}
    raise DataError(f"{path}: files ending in '{path.suffix}' are not read; allowed: {', '.join(SUFFIXES)}.")


def _is_text(path: Path) -> bool:
    """Say whether a file of another ending begins like a table of numbers."""
    if path.suffix[1:] and not path.suffix[1:].isdigit():
        return False
    with path.open("rb") as stream:
        beginning = stream.read(256)
    return bool(beginning) and all(sign in b"0123456789+-.,;eE \t\r\n" for sign in beginning)


def _whole_arrays(columns: Sequence[str], stored: Any) -> tuple[str, ...]:
    """Let the name of an array with several channels stand for all of them."""
    present = [column.name for column in stored.present]
    found: list[str] = []
    for name in columns:
        rows = [each for each in present if name not in present and each.startswith(f"{name}[")]
        found += rows or [name]
    return tuple(found)


def _chosen(stored: Any, choice: Choice) -> WaveformSource:
    if hasattr(stored, "columns"):
        present = [column.name for column in stored.present]
        wanted = zip(choice.numbers, choice.names, strict=True)
        return replace(
            stored, columns=tuple(name if present.count(name) == 1 else str(n) for n, name in wanted)
        )
    if choice.numbers == tuple(range(stored.n_channels)):
        return stored
    return _Picked(stored, choice.numbers)


def _rate(chosen: Sequence[Column], path: Path) -> Statement | None:
    rates = [each.sampling_rate_hz for each in chosen if each.sampling_rate_hz is not None]
    return agreed([Statement(value=rate, said_by="the file's header") for rate in rates], "Hz", str(path))


def _speed_column(stored: Any, path: Path) -> Statement | None:
    """Return the median of a column that holds the shaft speed in rpm, by its name.

    It is looked at in pieces from its begin to its end: a machine may run up in between.

    Raises
    ------
    DataError
        If it goes up or down by more than a speed may be off: the recording then has no speed.
    """
    for number, column in enumerate(stored.present):
        if quantity_of(column.name) == "shaft speed" and "rpm" in column.name.lower():
            length = min(column.n_samples, PROBE // SPEED_PIECES)
            starts = np.linspace(0, column.n_samples - length, SPEED_PIECES).astype(int)
            values = np.concatenate([stored.raw(number, at, at + length) for at in starts.tolist()])
            values = values[np.isfinite(values)] if values.dtype.kind in "iuf" else values[:0]
            if not len(values):
                continue
            low, rpm, high = (float(value) for value in np.percentile(values, (10, 50, 90)))
            if rpm > 0:
                if high - low > SPEED_TOLERANCE * rpm:
                    raise DataError(
                        f"{path}: the column '{column.name}' goes from {low:.4g} to {high:.4g} rpm; fault "
                        "lines need one speed. Cut out a stretch at one, or leave that column out of the "
                        "file to do without a speed."
                    )
                said_by = f"the column '{column.name}'"
                return Statement(value=rpm, said_by=said_by, tolerance=SPEED_TOLERANCE)
    return None


def _unit(column: Column) -> str | None:
    told = unit_of(column.described)
    return told if told is not None and UNITS.get(told.lower()) in (*VIBRATION, "voltage") else None
