"""Decoded recordings at the target rate, kept in bounded memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from secateur.core.errors import DataError
from secateur.signals.recording import Recording, WaveformSource
from secateur.signals.resample import ResampledReader


@dataclass(frozen=True)
class OneChannel:
    """One channel of a recording; it refuses samples that are not finite.

    Parameters
    ----------
    recording : Recording
    channel : int
        Number of the channel.
    """

    recording: Recording
    channel: int

    @property
    def n_channels(self) -> int:
        """Always 1."""
        return 1

    @property
    def n_samples(self) -> int:
        """Samples of the recording."""
        return self.recording.n_samples

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 (1, stop - start)."""
        samples = self.recording.read(start, stop)[self.channel : self.channel + 1]
        finite = np.isfinite(samples[0])
        if not finite.all():
            at = start + int(np.argmin(finite))
            raise DataError(
                f"recording {self.recording.recording_id}, channel "
                f"{self.recording.channels[self.channel]}: sample {at} "
                f"({at / self.recording.sampling_rate_hz:.3f} s) is NaN or infinite; all samples must be "
                "finite. Cut this part out of the recording or leave the recording out."
            )
        return samples


class SeriesCache:
    """Reads recordings at one rate; the least recently used ones are forgotten when memory is full.

    Parameters
    ----------
    sampling_rate_hz : float
        The rate to read at.
    channel : int or str
        Number or name of the channel.
    capacity_bytes : int
        Most memory that decoded recordings may take. One that needs more than a quarter of it is not
        kept but read piece by piece.
    """

    def __init__(self, sampling_rate_hz: float, channel: int | str, capacity_bytes: int) -> None:
        self.sampling_rate_hz = sampling_rate_hz
        self.channel = channel
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self._held: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()

    def read(self, recording: Recording, start: int, stop: int) -> np.ndarray:
        """Return resampled samples ``start`` to ``stop`` of the channel, float32 (stop - start,)."""
        key = (recording.dataset, recording.recording_id)
        held = self._held.get(key)
        if held is None:
            reader = self._reader(recording)
            n_bytes = 4 * max(reader.n_samples, recording.n_samples * len(recording.channels))
            if n_bytes > self.capacity_bytes // 4:
                return reader.read(start, stop)[0]
            held = np.ascontiguousarray(reader.read(0, reader.n_samples)[0])
            self._keep(key, held)
        else:
            self._held.move_to_end(key)
        return held[start:stop]

    def _reader(self, recording: Recording) -> WaveformSource:
        return ResampledReader(
            OneChannel(recording, channel_number(recording, self.channel)),
            recording.sampling_rate_hz,
            self.sampling_rate_hz,
        )

    def _keep(self, key: tuple[str, str], series: np.ndarray) -> None:
        self._held[key] = series
        self.held_bytes += series.nbytes
        while self.held_bytes > self.capacity_bytes:
            _, forgotten = self._held.popitem(last=False)
            self.held_bytes -= forgotten.nbytes


def channel_number(recording: Recording, channel: int | str) -> int:
    """Return the number of a channel given by number or name.

    Raises
    ------
    DataError
        If the recording has no such channel.
    """
    if isinstance(channel, str):
        if channel in recording.channels:
            return recording.channels.index(channel)
        if channel.isascii() and channel.isdecimal() and int(channel) < len(recording.channels):
            return int(channel)
    elif 0 <= channel < len(recording.channels):
        return channel
    raise DataError(
        f"recording {recording.recording_id} has no channel {channel!r}; its channels are "
        f"{', '.join(recording.channels)} (numbers 0 to {len(recording.channels) - 1})."
    )
