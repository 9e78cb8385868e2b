"""Archives and WAV files as columns, so that the channel is chosen by the rule of every other reader."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from secateur.edge.agent.sources.wav import read_wav
from secateur.signals.sources.choice import Column
from secateur.signals.sources.npz import NpzSource

BURST_TIMES = "burst_time_s"
"""Array of an archive that holds the start of each burst: no channel."""


@dataclass(frozen=True)
class ArchiveColumns:
    """The columns of an NPZ archive without the times of its bursts.

    Parameters
    ----------
    source : NpzSource
    """

    source: NpzSource

    @property
    def path(self) -> Path:
        """The file."""
        return self.source.path

    @cached_property
    def _numbers(self) -> tuple[int, ...]:
        return tuple(n for n, column in enumerate(self.source.present) if column.name != BURST_TIMES)

    @cached_property
    def present(self) -> tuple[Column, ...]:
        """Every column in order."""
        return tuple(self.source.present[number] for number in self._numbers)

    def raw(self, number: int, start: int, stop: int) -> np.ndarray:
        """Return values ``start`` to ``stop`` of a column."""
        return self.source.raw(self._numbers[number], start, stop)


@dataclass(frozen=True)
class WavColumns:
    """The channels of a WAV file, named by their numbers.

    Parameters
    ----------
    path : Path
    """

    path: Path

    @cached_property
    def present(self) -> tuple[Column, ...]:
        """Every channel."""
        first = read_wav(self.path)
        return tuple(
            Column(name=str(number), n_samples=len(first.samples), sampling_rate_hz=first.sampling_rate_hz)
            for number in range(first.channels)
        )

    def raw(self, number: int, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` of a channel as they are stored."""
        return np.array(read_wav(self.path, number).samples[start:stop])
