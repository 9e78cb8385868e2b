"""Rows of text and label, or of prompt and answer, from CSV, JSON lines, Parquet or memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

from secateur.core.documents import one_line
from secateur.core.errors import DataError
from secateur.models.not_text import not_text

Row = tuple[Any, ...]

UNREAD = (".json", ".ndjson", ".tsv")
"""Tables of other kinds, which are no running text either."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows that are in memory, in place of a file.

    Attributes
    ----------
    name : str
        What messages call it.
    rows : sequence of dict
        Values by column.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]

    def __str__(self) -> str:
        return self.name


def read_rows(path: Path | Table, columns: Sequence[str]) -> list[Row]:
    """Read named columns of a table.

    Parameters
    ----------
    path : Path or Table
        ``.csv`` (UTF-8, with a header; commas between values, or semicolons where a spreadsheet wrote them),
        ``.jsonl`` (one object a line) or ``.parquet``; or the rows themselves.
    columns : sequence of str

    Returns
    -------
    list of tuple
        One entry a row, in the order of the columns.

    Raises
    ------
    DataError
        If the file is missing, of another kind, damaged or empty, lacks a column or names one twice, or has a
        row without value, or with one that is neither a text nor a number.
    """
    found: list[Row] = []
    for number, row in enumerate(_rows_of(path, columns), start=1):
        if missing := [name for name in columns if name not in row]:
            where = path if number == 1 else f"row {number} of {path}"
            dicts = f" Give dicts of {' and '.join(columns)}." if isinstance(path, Table) else ""
            raise DataError(
                f"{where} has no column {', '.join(missing)}; its columns are {', '.join(map(str, row))}."
                f"{dicts}"
            )
        values = tuple(row[name] for name in columns)
        for name, value in zip(columns, values, strict=True):
            if value is None or value != value or not str(value).strip():
                raise DataError(f"row {number} of {path} has no {name}; complete or remove it.")
            if "\0" in str(value):
                raise DataError(f"row {number} of {path} has a NUL character in its {name}; remove it.")
            if not isinstance(value, str | Real):
                raise DataError(
                    f"row {number} of {path} holds a {type(value).__name__} as {name}; give a text or a "
                    "number."
                )
        found.append(values)
    if not found:
        raise DataError(f"{path} has no rows; give a table of {' and '.join(columns)}.")
    return found


def _rows_of(path: Path | Table, columns: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    if isinstance(path, Table):
        return path.rows
    if not path.is_file():
        raise DataError(f"{path} is not a file; give a table of {' and '.join(columns)}.")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path} is none of {', '.join(READERS)}; give a table with the columns {' and '.join(columns)}."
        )
    return reader(path, columns)


def _require_once(path: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    if twice := [name for name in columns if names.count(name) > 1]:
        raise DataError(f"{path} has more than one column {', '.join(twice)}; keep the one that is meant.")


def _csv(path: Path, columns: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
            stream.seek(0)
            separator = ";" if ";" in first and "," not in first else ","
            rows = csv.reader(stream, strict=True, delimiter=separator)
            names = next(rows, [])
            _require_once(path, columns, names)
            for row in filter(None, rows):
                if len(row) != len(names):
                    raise DataError(
                        f"line {rows.line_num} of {path} has {len(row)} values for {len(names)} columns; put "
                        f"texts with '{separator}' between double quotes."
                    )
                yield dict(zip(names, row, strict=True))
    except UnicodeDecodeError as error:
        raise not_text(path, f"is not UTF-8 ({error.reason})") from None
    except csv.Error as error:
        raise DataError(
            f"{path} is not a CSV table that can be read: {error}; JSON lines and Parquet hold any text."
        ) from None


def _json_lines(path: Path, columns: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _require_once(path, columns, [name for name, _ in pairs])
        return dict(pairs)

    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=once)
            except UnicodeDecodeError as error:
                raise not_text(path, f"is not UTF-8 (line {number}: {error.reason})") from None
            except (ValueError, RecursionError) as error:
                raise DataError(f"line {number} of {path} is not JSON: {error}.") from None
            if not isinstance(row, dict):
                raise DataError(f"line {number} of {path} is no object; give one object a line.")
            yield row


def _parquet(path: Path, columns: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(path)
        names = table.schema_arrow.names
        _require_once(path, columns, names)
        wanted = columns if set(columns) <= set(names) else names  # all are named where one is missing
        for batch in table.iter_batches(columns=list(wanted)):
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a Parquet file: {one_line(error).rstrip('.')}.") from None


READERS: dict[str, Callable[[Path, Sequence[str]], Iterable[Mapping[str, Any]]]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
