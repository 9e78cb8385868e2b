"""NPY files, mapped into memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from secateur.core.errors import DataError
from secateur.signals.sources.orientation import channels_first, checked_range


@dataclass(frozen=True)
class NpySource:
    """An NPY file of shape (samples,), (samples, channels) or (channels, samples).

    Parameters
    ----------
    path : Path
        The file.
    """

    path: Path

    def _table(self) -> np.ndarray:
        """Map the file anew: pages of a mapping that is kept would pile up in memory as they are read."""
        try:
            stored = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise DataError(f"{self.path} is missing.") from None
        except (ValueError, EOFError, OSError) as error:
            raise DataError(f"{self.path} is not a whole NPY file of numbers ({error}).") from None
        return channels_first(stored, self.path)

    @cached_property
    def _shape(self) -> tuple[int, ...]:
        return self._table().shape

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
