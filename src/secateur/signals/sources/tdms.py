"""TDMS files of LabVIEW, read by range; needs the extra ``formats``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.documents import one_line, require_regular_file
from secateur.core.errors import DataError
from secateur.signals.sources.channelwise import ChannelwiseSource
from secateur.signals.sources.choice import Column
from secateur.signals.sources.decoded import PIECES
from secateur.signals.sources.extras import required
from secateur.signals.sources.quantities import seconds_in
from secateur.signals.sources.time_axis import TimeAxis

_SPACING_DIGITS = 1e-9
PIECE = 1 << 20
"""Samples of a channel that are read at once."""


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    tdms = required("nptdms", f"{path} is a TDMS file")
    required("nptdms.log", str(path)).log_manager.set_level(logging.ERROR)
    require_regular_file(path)
    try:
        with path.open("rb") as stream, tdms.TdmsFile.open(stream) as file:
            if file.file_status.incomplete_final_segment:
                raise ValueError("its last segment was not written to its end")
            yield file
    except DataError:
        raise
    except Exception as error:  # the package answers damaged files with many kinds of error
        raise DataError(f"{path} is not a whole TDMS file ({one_line(error)}); copy it again.") from None


def _channels(file: Any) -> list[Any]:
    return [channel for group in file.groups() for channel in group.channels()]


def tdms_scalars(path: Path) -> dict[str, float]:
    """Return the numbers among the properties of the file and of its groups, such as ``rpm``."""
    with _opened(path) as file:
        properties = [file.properties, *(group.properties for group in file.groups())]
        return {
            name: float(value)
            for each in properties
            for name, value in each.items()
            if isinstance(value, Real) and not isinstance(value, bool)
        }


@dataclass(frozen=True)
class TdmsSource(ChannelwiseSource):
    """Channels of a TDMS file, named ``group/channel``; ``channel`` alone where the file has one group."""

    @cached_property
    def present(self) -> tuple[Column, ...]:
        """Every channel of the file."""
        with _opened(self.path) as file:
            several = len(file.groups()) > 1
            return tuple(
                Column(
                    name=f"{c.group_name}/{c.name}" if several else c.name,
                    n_samples=len(c),
                    sampling_rate_hz=_rate(c.properties),
                    unit=str(c.properties.get("unit_string") or "").strip() or None,
                )
                for c in _channels(file)
            )

    def _values(self, number: int, start: int, stop: int) -> np.ndarray:
        # a file of many segments takes long to open, so that more is read at once than a window
        pieces = [
            self._piece(number, at)[max(start - at, 0) : stop - at]
            for at in range(start - start % PIECE, max(stop, start + 1), PIECE)
        ]
        return np.concatenate(pieces)

    def _piece(self, number: int, start: int) -> np.ndarray:
        def decode() -> np.ndarray:
            count = min(PIECE, self.present[number].n_samples - start)
            with _opened(self.path) as file:
                return np.asarray(_channels(file)[number].read_data(start, count))

        return PIECES.get((self.path, self.path.stat().st_mtime_ns, number, start), decode)


def _rate(properties: dict[str, Any]) -> float | None:
    """Return the rate by ``wf_increment``; None for a step of frequency."""
    step, unit = properties.get("wf_increment"), properties.get("wf_xunit_string")
    unit_s = seconds_in(str(unit)) if unit else 1.0
    if not step or unit_s is None:
        return None
    return TimeAxis(name="", step=float(step), uncertainty=_SPACING_DIGITS, unit_s=unit_s).sampling_rate_hz
