"""Running figures of one channel: extremes, level, values that are not finite, stretches that are stuck."""

from __future__ import annotations

import math

import numpy as np

LEAST_RUN = 12
"""Samples in a row, each equal to the last but one, that chance hardly gives."""
BRIDGED = 64
"""Samples between two such runs that count as one stretch."""
LEAST_STUCK = 48
"""Samples of a stretch, at least half of them in runs, that no live sensor gives."""


class Stuck:
    """Stretches in which every sample equals the last but one: a flat line, or two values in turns."""

    def __init__(self) -> None:
        self.stretches: list[tuple[int, int]] = []
        self._tail = np.zeros(0, dtype=np.float32)
        self._run = 0
        self._begin = self._end = self._covered = 0

    def add(self, samples: np.ndarray, start: int) -> None:
        """Go on with the next samples, of which the first has the number ``start``."""
        joined = np.concatenate([self._tail, samples])
        same = joined[2:] == joined[:-2]
        first = start - self._tail.size + 2
        self._tail = joined[-2:]
        if same.size == 0:
            return
        runs = np.flatnonzero(np.diff(same, prepend=False, append=False)).reshape(-1, 2)
        carried, self._run = self._run, 0
        if carried and not same[0]:
            self._keep(first - carried, first)
        lengths = runs[:, 1] - runs[:, 0]
        ends = (runs[:, 0] == 0) | (runs[:, 1] == same.size)
        for begin, end in runs[(lengths >= LEAST_RUN) | ends].tolist():
            length = end - begin + (carried if begin == 0 else 0)
            if end == same.size:
                self._run = length
            else:
                self._keep(first + end - length, first + end)

    def close(self, n_samples: int) -> None:
        """Count a stretch that lasts to the end."""
        if self._run:
            self._keep(n_samples - self._run, n_samples)
            self._run = 0
        self._finish()

    def _keep(self, begin: int, end: int) -> None:
        if end - begin < LEAST_RUN:
            return
        begin = max(0, begin - 2)
        if self._covered and begin - self._end > BRIDGED:
            self._finish()
        if not self._covered:
            self._begin = begin
        self._end = end
        self._covered += end - begin

    def _finish(self) -> None:
        length = self._end - self._begin
        if length >= LEAST_STUCK and self._covered >= length / 2:
            self.stretches.append((self._begin, self._end))
        self._covered = 0

    @property
    def n_samples(self) -> int:
        """Samples in all stretches."""
        return sum(end - begin for begin, end in self.stretches)


class ChannelFigures:
    """Figures of one channel, gathered block by block."""

    def __init__(self) -> None:
        self.low, self.high = math.inf, -math.inf
        self.at_low = self.at_high = 0
        self.not_finite, self.first_not_finite = 0, -1
        self.stuck = Stuck()
        self._sum = self._sum_of_squares = 0.0
        self._count = 0

    def add(self, samples: np.ndarray, start: int) -> None:
        """Go on with the next samples, of which the first has the number ``start``."""
        self.stuck.add(samples, start)
        finite = np.isfinite(samples)
        if not finite.all():
            if self.first_not_finite < 0:
                self.first_not_finite = start + int(np.argmin(finite))
            self.not_finite += int(np.count_nonzero(~finite))
            samples = samples[finite]
            if samples.size == 0:
                return
        low, high = float(samples.min()), float(samples.max())
        if low < self.low:
            self.low, self.at_low = low, 0
        if high > self.high:
            self.high, self.at_high = high, 0
        self.at_low += int(np.count_nonzero(samples == self.low))
        self.at_high += int(np.count_nonzero(samples == self.high))
        self._count += samples.size
        self._sum += float(samples.sum(dtype=np.float64))
        self._sum_of_squares += float(np.square(samples, dtype=np.float64).sum())

    @property
    def rms(self) -> float:
        """Root mean square about the mean; 0 without samples."""
        if self._count == 0:
            return 0.0
        mean = self._sum / self._count
        return math.sqrt(max(0.0, self._sum_of_squares / self._count - mean**2))
