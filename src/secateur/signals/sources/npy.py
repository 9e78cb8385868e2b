"""NPY files, mapped into memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from secateur.core.documents import one_line, require_regular_file
from secateur.core.errors import DataError
from secateur.signals.sources.choice import Column
from secateur.signals.sources.npy_header import NpyHeader, read_npy_header
from secateur.signals.sources.orientation import channels_first, checked_range, require_real


@dataclass(frozen=True)
class NpySource:
    """An NPY file of shape (samples,), (samples, channels) or (channels, samples).

    Parameters
    ----------
    path : Path
        The file.
    """

    path: Path

    @cached_property
    def _header(self) -> NpyHeader:
        require_regular_file(self.path)
        try:
            with self.path.open("rb") as stream:
                return read_npy_header(stream, available=self.path.stat().st_size)
        except (ValueError, OSError) as error:
            raise DataError(f"{self.path} is not a whole NPY file of numbers ({one_line(error)}).") from None

    def _table(self) -> np.ndarray:
        """Map the file anew: pages of a mapping that is kept would pile up in memory as they are read."""
        header = self._header
        require_real(header.dtype, str(self.path))
        if header.n_bytes == 0:
            return channels_first(np.empty(header.shape, header.dtype), self.path)
        order: Literal["F", "C"] = "F" if header.fortran_order else "C"
        stored = np.memmap(self.path, header.dtype, "r", header.header_bytes, header.shape, order)
        return channels_first(stored, self.path)

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        return self._table().shape

    @property
    def present(self) -> tuple[Column, ...]:
        """Every channel, named by its number."""
        return tuple(Column(name=str(number), n_samples=self.n_samples) for number in range(self.n_channels))

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self._shape[0]

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self._shape[1]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (channels, stop - start)."""
        start, stop = checked_range(start, stop, self.n_samples, self.path)
        return self._table()[:, start:stop].astype(np.float32)

    def raw(self, number: int, start: int, stop: int) -> np.ndarray:
        """Return values ``start`` to ``stop`` of a channel in the file's own type."""
        start, stop = checked_range(start, stop, self.n_samples, self.path)
        return np.array(self._table()[number, start:stop])
