"""Parquet files, read by row group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow.parquet import ParquetFile

from secateur.core.documents import one_line, require_regular_file
from secateur.core.errors import DataError
from secateur.signals.sources.choice import Column, chosen_numbers
from secateur.signals.sources.decoded import PIECES
from secateur.signals.sources.orientation import checked_range, require_real


@dataclass(frozen=True)
class ParquetSource:
    """Columns of a Parquet file as channels.

    Parameters
    ----------
    path : Path
        The file.
    columns : tuple of str
        Names or numbers, one a channel; empty for all columns.
    """

    path: Path
    columns: tuple[str, ...] = ()

    def _open(self) -> ParquetFile:
        require_regular_file(self.path)
        try:
            return ParquetFile(self.path)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{self.path} is not a whole Parquet file ({one_line(error)}).") from None

    @cached_property
    def present(self) -> tuple[Column, ...]:
        """Every column of the file; one without a name is named by its number."""
        with self._open() as table:
            names, n_samples = table.schema_arrow.names, table.metadata.num_rows
        return tuple(Column(name=name or str(n), n_samples=n_samples) for n, name in enumerate(names))

    @cached_property
    def _numbers(self) -> tuple[int, ...]:
        return chosen_numbers(self.columns, self.present, self.path)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the columns that are read."""
        return tuple(self.present[number].name for number in self._numbers)

    @cached_property
    def _group_starts(self) -> np.ndarray:
        with self._open() as table:
            sizes = [table.metadata.row_group(g).num_rows for g in range(table.num_row_groups)]
        return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self._numbers)

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return int(self._group_starts[-1])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (channels, stop - start)."""
        start, stop = checked_range(start, stop, self.n_samples, self.path)
        pieces = [np.empty((self.n_channels, 0), np.float32)]
        for group, first, last in self._parts(start, stop):
            pieces.append(self._row_group(group)[:, first:last])
        return np.concatenate(pieces, axis=1)

    def raw(self, number: int, start: int, stop: int) -> np.ndarray:
        """Return values ``start`` to ``stop`` of a column in its own type."""
        start, stop = checked_range(start, stop, self.n_samples, self.path)
        pieces = [self._column(group, number)[first:last] for group, first, last in self._parts(start, stop)]
        return np.concatenate(pieces) if pieces else np.empty(0)

    def _parts(self, start: int, stop: int) -> list[tuple[int, int, int]]:
        """Return the row groups that hold some rows, with the range of rows in each."""
        starts = self._group_starts
        return [
            (group, max(start - starts[group], 0), stop - starts[group])
            for group in range(len(starts) - 1)
            if starts[group] < stop and start < starts[group + 1]
        ]

    def _row_group(self, group: int) -> np.ndarray:
        key = (self.path, self.path.stat().st_mtime_ns, self._numbers, group)

        def decode() -> np.ndarray:
            columns = [self._column(group, number) for number in self._numbers]
            for number, values in zip(self._numbers, columns, strict=True):
                require_real(values.dtype, f"{self.path} [{self.present[number].name}]")
            return np.stack([values.astype(np.float32) for values in columns], axis=0)

        return PIECES.get(key, decode)

    def _column(self, group: int, number: int) -> np.ndarray:
        with self._open() as table:
            fields = table.schema_arrow
            name, n_rows = fields.names[number], table.metadata.row_group(group).num_rows
            if pyarrow.types.is_nested(fields.field(number).type):
                return np.full(n_rows, f"<{fields.field(number).type}>", dtype=object)
            try:
                rows = table.read_row_group(group, columns=[name], use_threads=False)
            except (pyarrow.ArrowException, OSError, ValueError) as error:
                raise DataError(
                    f"{self.path}: row group {group} of column '{name}' cannot be read ({one_line(error)}); "
                    "fetch or copy the file again."
                ) from None
        # names may repeat: all columns of the name are there, in order
        values = rows.column(fields.names[:number].count(name)).combine_chunks()
        if pyarrow.types.is_timestamp(values.type):
            values = values.cast(pyarrow.timestamp("ns"), safe=False)
        elif pyarrow.types.is_time(values.type):
            # a time of day; arrow turns it to a duration by way of whole numbers alone
            whole = pyarrow.int32() if values.type.bit_width == 32 else pyarrow.int64()
            values = values.cast(whole).cast(pyarrow.int64()).cast(pyarrow.duration(values.type.unit))
        elif pyarrow.types.is_decimal(values.type):
            values = values.cast(pyarrow.float64())
        return np.asarray(values.to_numpy(zero_copy_only=False))
