"""Windows of one length and one rate, cut from recordings of any length and rate.

The same :func:`normalise` serves training and the device beside the machine, so that there is no skew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from secateur.core.errors import ConfigError, DataError
from secateur.signals.recording import Recording
from secateur.signals.resample import rate_ratio
from secateur.signals.segment import Segment
from secateur.signals.series import SeriesCache, channel_number
from secateur.signals.short_windows import filled, least_samples
from secateur.signals.sources.quantities import UNITS


def normalise(x: np.ndarray) -> np.ndarray:
    """Remove the mean and scale to unit root mean square along the last axis.

    Level and mean identify the recording (amplifier, ADC step), not the fault.

    Parameters
    ----------
    x : ndarray, shape (..., samples)

    Returns
    -------
    ndarray of float32, same shape

    Raises
    ------
    DataError
        If a window holds NaN or infinity, or is flat.
    """
    x = np.asarray(x, dtype=np.float32)
    centred = x - x.mean(axis=-1, keepdims=True, dtype=np.float64).astype(np.float32)
    rms = np.sqrt(np.einsum("...i,...i->...", centred, centred, dtype=np.float64))[..., None]
    rms /= np.sqrt(x.shape[-1])
    if not np.isfinite(rms).all():
        raise DataError("a window holds NaN or infinite samples; it must be finite throughout.")
    # rounding of a constant leaves about 1e-7 of its size
    if (rms <= 1e-6 * np.abs(x).max(axis=-1, keepdims=True)).any():
        raise DataError("a window is flat: its samples are all equal, so it has no unit RMS.")
    return (centred / rms).astype(np.float32)


def window_starts(n_samples: int, length: int, hop: int) -> np.ndarray:
    """Return where whole windows begin: 0, hop, 2 hop, ... as far as ``length`` samples remain.

    Raises
    ------
    ConfigError
        If length or hop is not positive.
    """
    if length < 1 or hop < 1:
        raise ConfigError(f"windows of {length} samples every {hop}; both must be at least 1.")
    return np.arange(0, n_samples - length + 1, hop, dtype=np.int64)


WINDOW_LENGTH = 8192
"""Samples of a window, unless another length is asked for."""

HIGHEST_RATE_HZ = 12_000.0
"""Recordings are brought to the lowest rate among them, and to no more than this: a window
must hold some twenty shaft turns for its fault lines to stand apart."""


def common_rate_hz(recordings: Iterable[Recording]) -> float:
    """Return the rate to which recordings are brought together."""
    return min(HIGHEST_RATE_HZ, *(recording.sampling_rate_hz for recording in recordings))


@dataclass(frozen=True, kw_only=True)
class WindowSpec:
    """What a model takes: so many samples at such a rate.

    Parameters
    ----------
    sampling_rate_hz : float
        Recordings at another rate are resampled to it. There is no default.
    length : int
        Samples in a window.
    """

    sampling_rate_hz: float
    length: int = WINDOW_LENGTH

    def __post_init__(self) -> None:
        if not self.sampling_rate_hz > 0 or self.length < 2:
            raise ConfigError(
                f"windows of {self.length} samples at {self.sampling_rate_hz} Hz; the rate must be positive "
                "and the length at least 2."
            )

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.length / self.sampling_rate_hz


@dataclass(frozen=True, kw_only=True)
class WindowItem:
    """One window and what is known about it.

    Parameters
    ----------
    waveform : ndarray of float32, shape (length,)
        Zero mean, unit RMS.
    shaft_rate_hz : float
        Turns a second; 0.0 if unknown.
    fault_orders : ndarray of float32, shape (4,)
        BPFO, BPFI, twice BSF and FTF over the shaft rate; zeros if unknown.
    label : int
        Class index, -1 if unlabelled.
    recording_id, group_id : str
        Where it comes from.
    start : int
        First sample, at the rate of the windows.
    """

    waveform: np.ndarray
    shaft_rate_hz: float
    fault_orders: np.ndarray
    label: int
    recording_id: str
    group_id: str
    start: int


class Windows:
    """Windows cut from segments, read when they are asked for.

    A recording that is a little too short for a window gives one, its end mirrored.

    Recordings that fit the cache are decoded and resampled once; larger ones are read window by window.

    Parameters
    ----------
    segments : sequence of Segment
    spec : WindowSpec
    hop : int
        Samples from one window's start to the next, at the rate of the windows.
    channel : int or str
        Number or name of the channel.
    cache_bytes : int
        Most memory that decoded recordings may take.

    Raises
    ------
    DataError
        If no segment is long enough for a window, or a recording lacks the channel.
    """

    def __init__(
        self,
        segments: Sequence[Segment],
        spec: WindowSpec,
        hop: int,
        channel: int | str = 0,
        *,
        cache_bytes: int = 256 << 20,
    ) -> None:
        self.segments = tuple(segments)
        self.spec = spec
        self.hop = hop
        self.channel = channel
        self._series = SeriesCache(spec.sampling_rate_hz, channel, cache_bytes)
        starts = [self._starts(segment) for segment in self.segments]
        self._segment_of = np.repeat(np.arange(len(starts)), [len(found) for found in starts])
        self._start = np.concatenate([*starts, np.zeros(0, dtype=np.int64)])
        if len(self._start) == 0:
            longest = max((segment.duration_s for segment in self.segments), default=0.0)
            raise DataError(
                f"no window of {spec.duration_s:.3f} s ({spec.length} at {spec.sampling_rate_hz:g} Hz) "
                f"fits the {len(self.segments)} segments given, the longest of {longest:.3f} s; "
                "give longer recordings, or take shorter windows (--window-length)."
            )
        self._label = np.array([segment.label for segment in self.segments], dtype=np.int64)
        self._shaft_rate_hz = np.array(
            [segment.recording.shaft_rate_hz or 0.0 for segment in self.segments], dtype=np.float32
        )
        self._fault_orders = np.stack([_orders_of(segment) for segment in self.segments])

    def _bounds(self, segment: Segment) -> tuple[int, int]:
        """Return the first sample of a segment, and one past the last, at the rate of the windows."""
        up, down = rate_ratio(segment.recording.sampling_rate_hz, self.spec.sampling_rate_hz)
        return -(-segment.start * up // down), segment.stop * up // down

    def _starts(self, segment: Segment) -> np.ndarray:
        first, last = self._bounds(segment)
        if segment.is_whole and least_samples(self.spec.length) <= last < self.spec.length:
            return np.zeros(1, dtype=np.int64)
        return first + window_starts(last - first, self.spec.length, self.hop)

    def __len__(self) -> int:
        return len(self._start)

    def __getitem__(self, index: int) -> WindowItem:
        index = range(len(self))[index]
        segment = self.segments[self._segment_of[index]]
        return WindowItem(
            waveform=self._waveforms(np.array([index]))[0],
            shaft_rate_hz=float(self._shaft_rate_hz[self._segment_of[index]]),
            fault_orders=self._fault_orders[self._segment_of[index]].copy(),
            label=segment.label,
            recording_id=segment.recording.recording_id,
            group_id=segment.group_id,
            start=int(self._start[index]),
        )

    def __iter__(self) -> Iterator[WindowItem]:
        return (self[index] for index in range(len(self)))

    @property
    def channel_name(self) -> str | None:
        """Name of the channel, where all recordings give it the same."""
        recordings = [segment.recording for segment in self.segments]
        names = {r.channels[channel_number(r, self.channel)] for r in recordings}
        return names.pop() if len(names) == 1 else None

    @property
    def healthy_label(self) -> int | None:
        """Label of the healthy machines; None where there are none."""
        labels = (s.label for s in self.segments if s.recording.fault_location == "normal")
        return next(labels, None)

    @property
    def unit(self) -> str | None:
        """Unit of the samples where all recordings state one quantity: of g and m/s2 the first."""
        units = [segment.recording.unit for segment in self.segments]
        quantities = {UNITS.get(unit.lower()) if unit else None for unit in units}
        return units[0] if len(quantities) == 1 else None

    @property
    def labels(self) -> np.ndarray:
        """Class index of every window, int64 (windows,)."""
        return self._label[self._segment_of]

    @property
    def recording_ids(self) -> list[str]:
        """Recording of every window."""
        return [self.segments[number].recording.recording_id for number in self._segment_of]

    @property
    def group_ids(self) -> list[str]:
        """Specimen of every window."""
        return [self.segments[number].group_id for number in self._segment_of]

    @property
    def starts(self) -> np.ndarray:
        """First sample of every window in its recording, at the rate of the windows, int64 (windows,)."""
        return self._start

    def take(self, indices: np.ndarray | Sequence[int]) -> dict[str, np.ndarray]:
        """Return the windows of the given numbers, stacked.

        Returns
        -------
        dict
            ``waveform`` float32 (n, length), ``shaft_rate_hz`` float32 (n,), ``fault_orders`` float32
            (n, 4), ``label`` int64 (n,).

        Raises
        ------
        DataError
            If a waveform holds NaN or infinity, or is flat; the message names recording and position.
        """
        indices = np.asarray(indices, dtype=np.int64)
        segment = self._segment_of[indices]
        return {
            "waveform": self._waveforms(indices),
            "shaft_rate_hz": self._shaft_rate_hz[segment],
            "fault_orders": self._fault_orders[segment],
            "label": self._label[segment],
        }

    def batches(
        self, size: int, order: np.ndarray | Sequence[int] | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield all windows in stacks of ``size`` (the last may be smaller), as :meth:`take` gives them.

        Parameters
        ----------
        size : int
            Windows in a batch.
        order : sequence of int, optional
            Window numbers in the order wanted; default: as they stand.
        """
        if size < 1:
            raise ConfigError(f"batches of {size} windows; give at least 1.")
        order = np.arange(len(self)) if order is None else np.asarray(order, dtype=np.int64)
        for first in range(0, len(order), size):
            yield self.take(order[first : first + size])

    def _waveforms(self, indices: np.ndarray) -> np.ndarray:
        length = self.spec.length
        waveforms = np.empty((len(indices), length), dtype=np.float32)
        segment_of = self._segment_of[indices]
        # one recording after the other, so that each is looked up once
        for number in dict.fromkeys(segment_of.tolist()):
            here = np.flatnonzero(segment_of == number)
            recording = self.segments[number].recording
            _, last = self._bounds(self.segments[number])
            for row in here:
                start = int(self._start[indices[row]])
                read = self._series.read(recording, start, min(start + length, last))
                waveforms[row] = filled(read, length)
            try:
                waveforms[here] = normalise(waveforms[here])
            except DataError:
                self._name_unusable(recording, waveforms, here, indices)
        return waveforms

    def _name_unusable(
        self, recording: Recording, waveforms: np.ndarray, rows: np.ndarray, indices: np.ndarray
    ) -> None:
        for row in rows:
            try:
                normalise(waveforms[row])
            except DataError as error:
                start = int(self._start[indices[row]])
                at_s = start / self.spec.sampling_rate_hz
                raise DataError(
                    f"recording {recording.recording_id}, window from {at_s:.3f} s "
                    f"(sample {start} at {self.spec.sampling_rate_hz:g} Hz): {error} Cut this part out of "
                    "the recording or leave the recording out."
                ) from None


def _orders_of(segment: Segment) -> np.ndarray:
    orders = segment.recording.fault_orders
    return np.zeros(4, dtype=np.float32) if orders is None else orders.as_array()
