"""Bursts of a recording on disk, for replays: WAV, NPY, or an NPZ archive; NumPy alone."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.errors import DataError
from secateur.core.progress import quiet
from secateur.edge.agent.sources.recorded_columns import BURST_TIMES, ArchiveColumns, WavColumns
from secateur.edge.agent.sources.wav import read_wav
from secateur.signals.sources.arrays import split_row
from secateur.signals.sources.choice import Choice, choose
from secateur.signals.sources.npy import NpySource
from secateur.signals.sources.npz import NpzSource, npz_scalars
from secateur.signals.sources.orientation import channels_first
from secateur.signals.sources.stated import RATE_TOLERANCE, Statement, rate_among, rate_in_name, speed_among
from secateur.signals.sources.time_axis import TimeAxis

DAMAGED = (
    *(ValueError, EOFError, OSError, KeyError, IndexError, SyntaxError, MemoryError, NotImplementedError),
    *(struct.error, zipfile.BadZipFile, zlib.error),
)
"""What NumPy raises where a file is cut short or damaged; a damaged head may ask for any amount of memory."""

IN_SETTINGS = "'channel: NUMBER' (from 0)"
IN_COMMAND = "--channel NUMBER (from 0)"
"""What chooses a channel, for messages."""


@dataclass(frozen=True, kw_only=True)
class StoredBursts:
    """Bursts of one recording.

    Attributes
    ----------
    samples : ndarray, shape (n,)
        Read from the disk as it is needed where the format allows.
    scale : float
        From stored numbers to samples.
    sampling_rate_hz : float or None
        None where the file does not state it.
    burst_samples : int or None
        Where the file itself is made of bursts that must not be joined.
    burst_times_s : ndarray of float64 or None
        Start of each burst from the first on.
    speed : Statement or None
        Shaft speed in rpm that the file states.
    time_axis : TimeAxis or None
        Where the file has one.
    rate_in_name : Statement or None
        Sampling rate that the file's name states; it is compared, it never gives the rate.

    Raises
    ------
    ValueError
        If rate, length and times of bursts do not fit the samples.
    """

    samples: np.ndarray
    scale: float = 1.0
    sampling_rate_hz: float | None = None
    burst_samples: int | None = None
    burst_times_s: np.ndarray | None = None
    speed: Statement | None = None
    time_axis: TimeAxis | None = None
    rate_in_name: Statement | None = None

    def __post_init__(self) -> None:
        rate_hz, length, times_s = self.sampling_rate_hz, self.burst_samples, self.burst_times_s
        if rate_hz is not None and not 0 < rate_hz < float("inf"):
            raise ValueError(f"sampling_rate_hz is {rate_hz}; it must be finite and above 0")
        if length is not None and length < 1:
            raise ValueError(f"burst_length is {length}; it must be at least 1")
        count = 1 if length is None else len(self.samples) // length
        if times_s is not None and (
            times_s.ndim != 1 or len(times_s) < count or not np.isfinite(times_s).all()
        ):
            raise ValueError(f"burst_time_s must hold one finite time for each of the {count} bursts")

    def another_rate(self, sampling_rate_hz: float) -> str | None:
        """Return in words which other sampling rate the file has: "has 48000 Hz"; None if none."""
        own, axis, named = self.sampling_rate_hz, self.time_axis, self.rate_in_name
        if own is not None and _is_off(own, sampling_rate_hz, RATE_TOLERANCE):
            return f"has {own:g} Hz"
        if own is None and axis is not None and not axis.agrees(sampling_rate_hz):
            return f"has times in steps of {axis.step:.6g} (column '{axis.name}')"
        if named is not None and _is_off(named.value, sampling_rate_hz, named.tolerance):
            return f"is named for {named.value:g} Hz"
        return None

    def cut(self, length: int, sampling_rate_hz: float) -> Iterator[tuple[float, np.ndarray]]:
        """Yield bursts with the seconds at which they start; no burst reaches over a seam.

        Parameters
        ----------
        length : int
            Samples of a burst.
        sampling_rate_hz : float
        """
        stored = self.burst_samples or len(self.samples)
        count = len(self.samples) // stored if stored else 0
        for number in range(count):
            start_s = number * stored / sampling_rate_hz
            if self.burst_times_s is not None:
                start_s = float(self.burst_times_s[number])
            for first in range(0, stored - length + 1, length):
                place = number * stored + first
                piece = np.asarray(self.samples[place : place + length], dtype=np.float32)
                yield start_s + first / sampling_rate_hz, piece * np.float32(self.scale)


def _is_off(one: float, other: float, tolerance: float) -> bool:
    return abs(one - other) > tolerance * max(one, other)


def open_recording(path: Path, channel: int | None = None, *, how: str = IN_SETTINGS) -> StoredBursts:
    """Open a recording; channel and rate are found as ``secateur diagnose`` finds them.

    An NPZ archive holds one array a channel, perhaps with ``scale_CHANNEL``, ``sampling_rate_hz`` or
    ``fs``, ``rpm``, ``burst_length`` and ``burst_time_s``. A time axis is no channel, and tells the rate.

    Parameters
    ----------
    path : Path
    channel : int, optional
        Default: the only one that can be vibration.
    how : str
        What chooses a channel, for messages.

    Raises
    ------
    DataError
        If the file is missing or of another kind, has no such channel, contradicts itself, or if several
        channels could be meant.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"the recording {path} is missing.")
    openers = {".npy": _open_npy, ".npz": _open_npz, ".wav": _open_wav}
    kind = path.suffix.lower()
    if kind not in openers:
        raise DataError(f"{path} cannot be replayed; allowed: {', '.join(openers)}.")
    wanted = () if channel is None else (str(channel),)
    try:
        with quiet():  # an agent, and a replay that shows a bar of its own, show none of the time axis
            return openers[kind](path, wanted, how)
    except DAMAGED as error:
        raise DataError(f"{path} is no recording that can be read: {error}.") from None


def _open_npy(path: Path, wanted: Sequence[str], how: str) -> StoredBursts:
    choice = choose(NpySource(path), wanted, how=how)
    table = channels_first(np.load(path, mmap_mode="r", allow_pickle=False), path)
    return StoredBursts(samples=table[choice.numbers[0]], **_rates(choice, None, path))


def _open_npz(path: Path, wanted: Sequence[str], how: str) -> StoredBursts:
    choice = choose(ArchiveColumns(NpzSource(path)), wanted, how=how)
    scalars = npz_scalars(path)
    rates = _rates(choice, rate_among(scalars, str(path)), path)
    if rates["sampling_rate_hz"] is None:
        rates["sampling_rate_hz"] = scalars.get("sampling_rate_hz")  # 0, say: that is told
    burst = scalars.get("burst_length")
    with np.load(path, allow_pickle=False) as archive:
        name, row = split_row(choice.names[0], archive.files)
        factor = f"scale_{name}"
        return StoredBursts(
            samples=channels_first(archive[name], path, name)[row or 0],
            scale=float(archive[factor].reshape(-1)[0]) if factor in archive.files else 1.0,
            burst_samples=None if burst is None else int(burst),
            burst_times_s=archive[BURST_TIMES] if BURST_TIMES in archive.files else None,
            speed=speed_among(scalars),
            **rates,
        )


def _open_wav(path: Path, wanted: Sequence[str], how: str) -> StoredBursts:
    choice = choose(WavColumns(path), wanted, how=how)
    found = read_wav(path, choice.numbers[0])
    stated = Statement(value=found.sampling_rate_hz, said_by="the file's header")
    return StoredBursts(samples=found.samples, scale=found.scale, **_rates(choice, stated, path))


def _rates(choice: Choice, stated: Statement | None, path: Path) -> dict[str, Any]:
    """Return what a file says of its sampling rate: in so many words, by its time axis, and by its name."""
    axis = choice.time_axis
    rate_hz = None if axis is None else axis.sampling_rate_hz
    if stated is not None:
        rate_hz = stated.value
        if axis is not None and not axis.agrees(rate_hz):
            raise DataError(
                f"{path}: {stated.said_by} says {rate_hz:.6g} Hz, and the column '{axis.name}' steps of "
                f"{axis.step:.6g}; correct the one that is wrong."
            )
    return {"sampling_rate_hz": rate_hz, "time_axis": axis, "rate_in_name": rate_in_name(path)}
