"""Files that hold each channel on its own, of its own length: what their sources have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from secateur.signals.sources.arrays import require_equal_lengths
from secateur.signals.sources.choice import Column, chosen_numbers
from secateur.signals.sources.orientation import checked_range


@dataclass(frozen=True)
class ChannelwiseSource(ABC):
    """Chosen channels of a file, all of one length.

    Parameters
    ----------
    path : Path
        The file.
    columns : tuple of str
        Names or numbers, one a channel; empty for all.
    """

    path: Path
    columns: tuple[str, ...] = ()

    @property
    @abstractmethod
    def present(self) -> tuple[Column, ...]:
        """Every channel of the file."""

    @abstractmethod
    def _values(self, number: int, start: int, stop: int) -> np.ndarray:
        """Return values ``start`` to ``stop`` of a channel, which are there."""

    @cached_property
    def _numbers(self) -> tuple[int, ...]:
        return chosen_numbers(self.columns, self.present, self.path)

    @property
    def n_channels(self) -> int:
        """Number of chosen channels."""
        return len(self._numbers)

    @cached_property
    def n_samples(self) -> int:
        """Samples per channel."""
        lengths = {self.present[number].name: self.present[number].n_samples for number in self._numbers}
        return require_equal_lengths(lengths, self.path, "channels")

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (channels, stop - start)."""
        return np.stack([self.raw(number, start, stop).astype(np.float32) for number in self._numbers])

    def raw(self, number: int, start: int, stop: int) -> np.ndarray:
        """Return values ``start`` to ``stop`` of a channel: numbers as scaled by the file, or dates."""
        return self._values(number, *checked_range(start, stop, self.present[number].n_samples, self.path))
