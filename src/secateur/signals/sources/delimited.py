"""CSV and other delimited text, read by blocks of lines."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import csv

from secateur.core.errors import DataError
from secateur.signals.sources.orientation import checked_range
from secateur.signals.sources.text_format import DEFAULT_TEXT, TextFormat

LINES_PER_MARK = 4096
_DELIMITERS = (";", "\t", ",", " ")


@dataclass(frozen=True)
class _Index:
    names: tuple[str, ...]
    delimiter: str
    marks: tuple[int, ...]
    n_rows: int
    file_bytes: int


def _is_number(text: str, decimal: str) -> bool:
    try:
        float(text.replace(decimal, "."))
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class DelimitedSource:
    """Columns of a delimited text file as channels.

    One pass over the file counts its lines and remembers where every 4096th begins; a window is then
    read from the nearest such place. A first line with anything but numbers is taken as the header;
    without one the columns are named "0", "1", ...

    Parameters
    ----------
    path : Path
        The file.
    columns : tuple of str
        One a channel; empty for all columns.
    text : TextFormat
        How the numbers are written.
    """

    path: Path
    columns: tuple[str, ...] = ()
    text: TextFormat = DEFAULT_TEXT

    @cached_property
    def _index(self) -> _Index:
        if not self.path.exists():
            raise DataError(f"{self.path} is missing.")
        with self.path.open("rb") as stream:
            for _ in range(self.text.skip_lines):
                stream.readline()
            beginning = stream.tell()
            line = stream.readline().decode("utf-8-sig", errors="replace").strip()
            if not line:
                raise DataError(
                    f"{self.path} begins with an empty line; a header or a row must come first "
                    "(leave others out with 'skip_lines')."
                )
            delimiter = self.text.delimiter or next((sign for sign in _DELIMITERS if sign in line), ",")
            fields = [field.strip().strip('"') for field in line.split(delimiter)]
            has_header = not all(_is_number(field, self.text.decimal) for field in fields)
            names = tuple(fields) if has_header else tuple(map(str, range(len(fields))))
            if not has_header:
                stream.seek(beginning)
            marks, n_rows, file_bytes = self._count_rows(stream)
        return _Index(names, delimiter, marks, n_rows, file_bytes)

    def _count_rows(self, stream: io.BufferedReader) -> tuple[tuple[int, ...], int, int]:
        position, n_rows, marks = stream.tell(), 0, []
        for line in stream:
            if line.strip():
                if n_rows % LINES_PER_MARK == 0:
                    marks.append(position)
                n_rows += 1
            position += len(line)
        if n_rows == 0:
            raise DataError(f"{self.path} holds no rows.")
        return tuple(marks), n_rows, position

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """Names of the columns that are read."""
        present = self._index.names
        unknown = [name for name in self.columns if name not in present]
        if unknown:
            raise DataError(
                f"{self.path} has no column {', '.join(map(repr, unknown))}; it has: {', '.join(present)}."
            )
        return self.columns or present

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self.channels)

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self._index.n_rows

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (channels, stop - start)."""
        start, stop = checked_range(start, stop, self.n_samples, self.path)
        if start == stop:
            return np.empty((self.n_channels, 0), np.float32)
        first = start // LINES_PER_MARK
        last = -(-stop // LINES_PER_MARK)
        marks = self._index.marks
        end = marks[last] if last < len(marks) else self._index.file_bytes
        with self.path.open("rb") as stream:
            stream.seek(marks[first])
            block = stream.read(end - marks[first])
        offset = start - first * LINES_PER_MARK
        return self._parse(block, first * LINES_PER_MARK)[:, offset : offset + stop - start]

    def _parse(self, block: bytes, first_row: int) -> np.ndarray:
        try:
            table = csv.read_csv(
                io.BytesIO(block),
                read_options=csv.ReadOptions(use_threads=False, column_names=list(self._index.names)),
                parse_options=csv.ParseOptions(delimiter=self._index.delimiter),
                convert_options=csv.ConvertOptions(
                    include_columns=list(self.channels),
                    decimal_point=self.text.decimal,
                    column_types=dict.fromkeys(self.channels, pyarrow.float64()),
                ),
            )
        except pyarrow.ArrowInvalid as error:
            raise DataError(
                f"{self.path}: the rows from {first_row + 1} on cannot be read as numbers "
                f"separated by {self._index.delimiter!r} with the decimal sign "
                f"'{self.text.decimal}' ({error})."
            ) from None
        return np.stack([table[name].to_numpy().astype(np.float32) for name in self.channels], axis=0)
