"""Parquet files, read by row group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow.parquet import ParquetFile

from secateur.core.errors import DataError
from secateur.signals.sources.decoded import PIECES
from secateur.signals.sources.orientation import checked_range


@dataclass(frozen=True)
class ParquetSource:
    """Columns of a Parquet file as channels.

    Parameters
    ----------
    path : Path
        The file.
    columns : tuple of str
        One a channel; empty for all columns.
    """

    path: Path
    columns: tuple[str, ...] = ()

    def _open(self) -> ParquetFile:
        try:
            return ParquetFile(self.path)
        except FileNotFoundError:
            raise DataError(f"{self.path} is missing.") from None
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise DataError(f"{self.path} is not a whole Parquet file ({error}).") from None

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """Names of the columns that are read."""
        with self._open() as table:
            present = tuple(table.schema_arrow.names)
        unknown = [name for name in self.columns if name not in present]
        if unknown:
            raise DataError(
                f"{self.path} has no column {', '.join(map(repr, unknown))}; it has: {', '.join(present)}."
            )
        return self.columns or present

    @cached_property
    def _group_starts(self) -> np.ndarray:
        with self._open() as table:
            sizes = [table.metadata.row_group(g).num_rows for g in range(table.num_row_groups)]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.channels)

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return int(self._group_starts[-1])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (channels, stop - start)."""
        start, stop = checked_range(start, stop, self.n_samples, self.path)
        starts = self._group_starts
        pieces = [np.empty((self.n_channels, 0), np.float32)]
        for group in range(len(starts) - 1):
            if starts[group] < stop and start < starts[group + 1]:
                rows = self._row_group(group)
                pieces.append(rows[:, max(start - starts[group], 0) : stop - starts[group]])
        return np.concatenate(pieces, axis=1)

    def _row_group(self, group: int) -> np.ndarray:
        key = (self.path, self.path.stat().st_mtime_ns, self.channels, group)

        def decode() -> np.ndarray:
            with self._open() as table:
                rows = table.read_row_group(group, columns=list(self.channels), use_threads=False)
            try:
                return np.stack([rows[name].to_numpy().astype(np.float32) for name in self.channels], axis=0)
            except (ValueError, TypeError) as error:
                raise DataError(f"{self.path}: a column is not of numbers ({error}).") from None

        return PIECES.get(key, decode)
