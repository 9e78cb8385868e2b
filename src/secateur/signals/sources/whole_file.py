"""Files of channels that can only be decoded as a whole: what was decoded last is kept in a bounded store."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np

from secateur.core.documents import require_regular_file
from secateur.core.errors import DataError
from secateur.signals.sources.channelwise import ChannelwiseSource
from secateur.signals.sources.choice import Column
from secateur.signals.sources.decoded import PIECES

LARGEST_BYTES = 1 << 30

Decoded = Sequence[tuple[Column, np.ndarray]]
"""Every channel of a file and its values, shape (samples,)."""


@dataclass(frozen=True)
class WholeFileSource(ChannelwiseSource):
    """Chosen channels of a file that has to be decoded as a whole; subclasses say how."""

    @staticmethod
    @abstractmethod
    def decode(path: Path) -> Decoded:
        """Return every channel of a file."""

    @cached_property
    def present(self) -> tuple[Column, ...]:
        """Every channel of the file."""
        require_regular_file(self.path)
        return _columns(self.decode, self.path, self.path.stat().st_mtime_ns)

    def _values(self, number: int, start: int, stop: int) -> np.ndarray:
        key = (self.path, self.path.stat().st_mtime_ns, number)
        return np.array(PIECES.get(key, lambda: self.decode(self.path)[number][1])[start:stop])


def require_decodable(path: Path) -> None:
    """Refuse a file that would take the memory of a device.

    Raises
    ------
    DataError
        If it is larger than ``LARGEST_BYTES``.
    """
    if path.stat().st_size > LARGEST_BYTES:
        raise DataError(f"{path} is larger than 1 GiB; store it as WAV, NPY or Parquet.")


@lru_cache(maxsize=64)
def _columns(decode: Callable[[Path], Decoded], path: Path, mtime_ns: int) -> tuple[Column, ...]:
    decoded = decode(path)
    for number, (_, values) in enumerate(decoded):
        PIECES.get((path, mtime_ns, number), partial(np.array, values))
    return tuple(column for column, _ in decoded)
