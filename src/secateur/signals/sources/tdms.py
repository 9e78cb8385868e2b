"""TDMS files of LabVIEW, read by range; needs the extra ``formats``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.documents import one_line, require_regular_file
from secateur.core.errors import DataError
from secateur.signals.sources.arrays import require_equal_lengths
from secateur.signals.sources.choice import Column, chosen_numbers
from secateur.signals.sources.extras import required
from secateur.signals.sources.orientation import checked_range


@dataclass(frozen=True)
class TdmsSource:
    """Channels of a TDMS file, named ``group/channel``; ``channel`` alone where the file has one group.

    Parameters
    ----------
    path : Path
        The file.
    columns : tuple of str
        Names or numbers, one a channel; empty for all.
    """

    path: Path
    columns: tuple[str, ...] = ()

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        tdms = required("nptdms", f"{self.path} is a TDMS file")
        require_regular_file(self.path)
        try:
            with self.path.open("rb") as stream, tdms.TdmsFile.open(stream) as file:
                yield file
        except DataError:
            raise
        except Exception as error:  # the package answers damaged files with many kinds of error
            raise DataError(
                f"{self.path} is not a whole TDMS file ({one_line(error)}); copy it again."
            ) from None

    @staticmethod
    def _channels(file: Any) -> list[Any]:
        return [channel for group in file.groups() for channel in group.channels()]

    @cached_property
    def present(self) -> tuple[Column, ...]:
        """Every channel of the file."""
        with self._opened() as file:
            several = len(file.groups()) > 1
            return tuple(
                Column(name=f"{c.group_name}/{c.name}" if several else c.name, n_samples=len(c))
                for c in self._channels(file)
            )

    @cached_property
    def sampling_rate_hz(self) -> float | None:
        """The rate that the waveform properties state (``wf_increment``), if all channels state the same."""
        with self._opened() as file:
            steps = {c.properties.get("wf_increment") for c in self._channels(file) if len(c)}
        step = steps.pop() if len(steps) == 1 else None
        return None if not step else 1.0 / float(step)

    @cached_property
    def _numbers(self) -> tuple[int, ...]:
        return chosen_numbers(self.columns, self.present, self.path)

    @property
    def n_channels(self) -> int:
        """Number of channels."""
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
        start, stop = checked_range(start, stop, self.present[number].n_samples, self.path)
        with self._opened() as file:
            return np.asarray(self._channels(file)[number].read_data(start, stop - start))
