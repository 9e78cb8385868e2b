"""Bursts of a recording on disk, for replays: WAV, NPY, or an NPZ archive; NumPy alone."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secateur.core.errors import DataError
from secateur.edge.agent.sources.wav import read_wav

DAMAGED = (
    *(ValueError, EOFError, OSError, KeyError, SyntaxError, MemoryError, NotImplementedError),
    *(struct.error, zipfile.BadZipFile, zlib.error),
)
"""What NumPy raises where a file is cut short or damaged; a damaged head may ask for any amount of memory."""


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


def open_recording(path: Path, channel: int = 0) -> StoredBursts:
    """Open a recording.

    An NPZ archive holds one array a channel, perhaps with ``scale_CHANNEL``, ``sampling_rate_hz``,
    ``burst_length`` and ``burst_time_s``.

    Raises
    ------
    DataError
        If the file is missing, has no such channel, or is of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"the recording {path} is missing.")
    openers = {".npy": _open_npy, ".npz": _open_npz, ".wav": _open_wav}
    kind = path.suffix.lower()
    if kind not in openers:
        raise DataError(f"{path} cannot be replayed; allowed: {', '.join(openers)}.")
    try:
        return openers[kind](path, channel)
    except DAMAGED as error:
        raise DataError(f"{path} is no recording that can be read: {error}.") from None


def _open_npy(path: Path, channel: int) -> StoredBursts:
    samples = np.load(path, mmap_mode="r", allow_pickle=False)
    if samples.ndim == 2 and samples.shape[0] > samples.shape[1]:
        raise DataError(f"{path} has shape {samples.shape}; store it as (channels, samples).")
    if samples.ndim == 2 and channel < samples.shape[0]:
        samples, channel = samples[channel], 0
    if channel or samples.ndim != 1 or samples.dtype.kind not in "fiu":
        raise DataError(
            f"{path} has shape {samples.shape}; channel {channel} of (channels, samples) was wanted."
        )
    return StoredBursts(samples=samples)


def _open_npz(path: Path, channel: int) -> StoredBursts:
    with np.load(path, allow_pickle=False) as archive:
        names = [
            name for name in archive.files if archive[name].ndim == 1 and f"scale_{name}" in archive.files
        ]
        names = names or [
            name for name in archive.files if archive[name].ndim == 1 and len(archive[name]) > 1
        ]
        if channel >= len(names):
            raise DataError(f"{path} has {len(names)} channels; channel {channel} was asked for.")
        name = names[channel]

        def number(key: str) -> float | None:
            return float(archive[key]) if key in archive.files else None

        burst = number("burst_length")
        return StoredBursts(
            samples=archive[name],
            scale=number(f"scale_{name}") or 1.0,
            sampling_rate_hz=number("sampling_rate_hz"),
            burst_samples=None if burst is None else int(burst),
            burst_times_s=archive["burst_time_s"] if "burst_time_s" in archive.files else None,
        )


def _open_wav(path: Path, channel: int) -> StoredBursts:
    found = read_wav(path, channel)
    return StoredBursts(samples=found.samples, scale=found.scale, sampling_rate_hz=found.sampling_rate_hz)
