"""TDMS files of LabVIEW, read by range; needs the extra ``formats``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from secateur.core.documents import one_line, require_regular_file
from secateur.core.errors import DataError
from secateur.signals.sources.channelwise import ChannelwiseSource
from secateur.signals.sources.choice import Column
from secateur.signals.sources.extras import required


@dataclass(frozen=True)
class TdmsSource(ChannelwiseSource):
    """Channels of a TDMS file, named ``group/channel``; ``channel`` alone where the file has one group."""

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

    def _values(self, number: int, start: int, stop: int) -> np.ndarray:
        with self._opened() as file:
            return np.asarray(self._channels(file)[number].read_data(start, stop - start))
