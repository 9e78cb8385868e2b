"""CSV and other delimited text, read by blocks of lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from secateur.core.documents import one_line, require_regular_file
from secateur.core.errors import DataError
from secateur.signals.sources.choice import MOST_COLUMNS, Column, chosen_numbers
from secateur.signals.sources.orientation import MOST_CHANNELS, checked_range
from secateur.signals.sources.text_columns import numbers_of, values_of
from secateur.signals.sources.text_format import (
    DEFAULT_TEXT,
    Dialect,
    TextFormat,
    find_dialect,
    split_fields,
)

LINES_PER_MARK = 4096
LINES_LOOKED_AT = 64
LONGEST_LINE = 1 << 20
_CHUNK = 1 << 20


@dataclass(frozen=True)
class _Index:
    names: tuple[str, ...]
    dialect: Dialect
    marks: tuple[int, ...]
    n_rows: int
    file_bytes: int


@dataclass(frozen=True)
class DelimitedSource:
    """Columns of a delimited text file as channels.

    One pass over the file counts its lines and remembers where every 4096th begins; a window is then
    read from the nearest such place. A first line with anything but numbers and dates is taken as the
    header, a second one as units if it names some; columns without a name are named by their number: "0",
    "1", ...

    Parameters
    ----------
    path : Path
        The file.
    columns : tuple of str
        Names or numbers, one a channel; empty for all columns.
    text : TextFormat
        How the numbers are written.
    """

    path: Path
    columns: tuple[str, ...] = ()
    text: TextFormat = DEFAULT_TEXT

    @cached_property
    def _index(self) -> _Index:
        require_regular_file(self.path)
        with self.path.open("rb") as stream:
            for _ in range(self.text.skip_lines):
                stream.readline(LONGEST_LINE)
            beginning = stream.tell()
            lines, ends = self._first_lines(stream)
            try:
                dialect = find_dialect(lines, self.text)
            except csv.Error as error:
                raise DataError(f"{self.path} is no table of numbers ({one_line(error)}).") from None
            if dialect.n_columns > MOST_COLUMNS:
                raise DataError(
                    f"{self.path} has {dialect.n_columns} columns; at most {MOST_COLUMNS} are read. One row "
                    "is one moment: turn the table round if its rows are channels."
                )
            self._require_table(lines, dialect)
            stream.seek([beginning, *ends][dialect.header_lines])
            marks, n_rows, file_bytes = self._count_rows(stream)
        header = dialect.header or ("",) * dialect.n_columns
        names = tuple(name or str(number) for number, name in enumerate(header))
        return _Index(names, dialect, marks, n_rows, file_bytes)

    def _require_table(self, lines: list[str], dialect: Dialect) -> None:
        """Check that the first lines are rows of one table, and its rows moments."""
        widths = [len(split_fields(line, dialect.delimiter)) for line in lines]
        others = next((n for n, width in enumerate(widths) if width != widths[0]), None)
        if others is not None and set(widths[others:]) == {widths[-1]}:
            raise DataError(
                f"{self.path} begins with {others} lines of {widths[0]} columns, and {widths[-1]} columns "
                "follow; "
                f"leave the lines before the table out with 'text: {{skip_lines: {others}}}' in a "
                "description."
            )
        if not dialect.header and dialect.n_columns > MOST_CHANNELS:
            raise DataError(
                f"{self.path} has {dialect.n_columns} columns without names: windows stacked as rows, not "
                "one "
                f"recording of at most {MOST_CHANNELS} channels. Store each recording whole, one row a "
                "moment."
            )

    def _first_lines(self, stream: io.BufferedReader) -> tuple[list[str], list[int]]:
        """Return the first lines without blank ones, and where each ends."""
        lines: list[str] = []
        ends: list[int] = []
        for _ in range(LINES_LOOKED_AT):
            line = stream.readline(LONGEST_LINE)
            if len(line) == LONGEST_LINE:
                raise DataError(
                    f"{self.path} has a line of more than {LONGEST_LINE >> 20} MiB; one line is one moment "
                    "of all channels. Turn the table round, or give text."
                )
            if not lines and (line[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in line):
                raise DataError(f"{self.path} is UTF-16 text, or no text at all; save it as UTF-8.")
            shown = _decoded(line).strip(" \r\n")
            if "\r" in shown:
                raise DataError(
                    f"{self.path} ends its lines with a carriage return alone; save it with usual line ends."
                )
            if shown.strip():
                lines.append(shown)
                ends.append(stream.tell())
            elif not lines:
                raise DataError(
                    f"{self.path} begins with an empty line; a header or a row must come first "
                    "(leave others out with 'skip_lines')."
                )
            if not line:
                break
        return lines, ends

    def _count_rows(self, stream: io.BufferedReader) -> tuple[tuple[int, ...], int, int]:
        """Return where every 4096th row begins, the number of rows, and the length of the file."""
        position, n_rows, rest = stream.tell(), 0, b""
        marks: list[int] = []
        while chunk := stream.read(_CHUNK):
            block = rest + chunk
            end = block.rfind(b"\n") + 1
            rows = _row_starts(block[:end])
            marks += [position + int(at) for at in rows[-n_rows % LINES_PER_MARK :: LINES_PER_MARK]]
            n_rows, position, rest = n_rows + len(rows), position + end, block[end:]
            if len(rest) > LONGEST_LINE:
                raise DataError(
                    f"{self.path} has a line of more than {LONGEST_LINE >> 20} MiB behind row {n_rows}."
                )
        if rest.strip():
            if n_rows % LINES_PER_MARK == 0:
                marks.append(position)
            n_rows += 1
        if n_rows == 0:
            raise DataError(f"{self.path} holds no rows.")
        return tuple(marks), n_rows, position + len(rest)

    @property
    def present(self) -> tuple[Column, ...]:
        """Every column of the file."""
        return tuple(Column(name=name, n_samples=self._index.n_rows) for name in self._index.names)

    @cached_property
    def _numbers(self) -> tuple[int, ...]:
        return chosen_numbers(self.columns, self.present, self.path)

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the columns that are read."""
        return tuple(self._index.names[number] for number in self._numbers)

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return len(self._numbers)

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self._index.n_rows

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (channels, stop - start)."""
        start, stop = checked_range(start, stop, self.n_samples, self.path)
        if start == stop:
            return np.empty((self.n_channels, 0), np.float32)
        block, first = self._block(start, stop)
        with self._readable(first):
            rows = numbers_of(block, self._numbers, self._index.dialect)
        return rows[:, start - first : stop - first].astype(np.float32)

    def raw(self, number: int, start: int, stop: int) -> np.ndarray:
        """Return values ``start`` to ``stop`` of a column: numbers, dates or words."""
        start, stop = checked_range(start, stop, self.n_samples, self.path)
        if start == stop:
            return np.empty(0)
        block, first = self._block(start, stop)
        with self._readable(first):
            return values_of(block, number, self._index.dialect)[start - first : stop - first]

    def _block(self, start: int, stop: int) -> tuple[bytes, int]:
        """Return the lines around some rows, and the number of the first of them."""
        first, last = start // LINES_PER_MARK, -(-stop // LINES_PER_MARK)
        marks = self._index.marks
        end = marks[last] if last < len(marks) else self._index.file_bytes
        with self.path.open("rb") as stream:
            stream.seek(marks[first])
            return stream.read(end - marks[first]), first * LINES_PER_MARK

    @contextmanager
    def _readable(self, first_row: int) -> Iterator[None]:
        """Tell where a file cannot be read."""
        dialect = self._index.dialect
        try:
            yield
        except (ValueError, csv.Error) as error:
            raise DataError(
                f"{self.path}: the rows from {first_row + 1} on cannot be read as numbers "
                f"separated by {dialect.delimiter!r} with the decimal sign '{dialect.decimal}' "
                f"({one_line(error)})."
            ) from None


def _decoded(line: bytes) -> str:
    """Return a line as text: UTF-8, else the western code page that older loggers write."""
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode("cp1252", errors="replace")


def _row_starts(block: bytes) -> np.ndarray:
    """Return where the rows of some whole lines begin; blank lines are none."""
    signs = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(signs == 10)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else np.zeros(0, np.int64)
    short = np.flatnonzero(ends - starts <= 2)
    blank = [at for at in short if not block[starts[at] : ends[at]].strip()]
    return np.delete(starts, blank)
