"""Rows of text and label, or of prompt and answer, from CSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from secateur.core.errors import DataError

Row = tuple[Any, ...]


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """Read named columns of a table.

    Parameters
    ----------
    path : Path
        ``.csv`` (UTF-8, with a header), ``.jsonl`` (one object a line) or ``.parquet``.
    columns : sequence of str

    Returns
    -------
    list of tuple
        One entry a row, in the order of the columns.

    Raises
    ------
    DataError
        If the file is missing, of another kind, damaged or empty, lacks a column, or has a row without value.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} is not a file; give a table of {' and '.join(columns)}.")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path} is none of {', '.join(READERS)}; give a table with the columns {' and '.join(columns)}."
        )
    found: list[Row] = []
    for number, row in enumerate(reader(path, columns), start=1):
        missing = [name for name in columns if name not in row]
        if missing:
            raise DataError(
                f"{path} has no column {', '.join(missing)}; its columns are {', '.join(map(str, row))}."
            )
        values = tuple(row[name] for name in columns)
        if any(value is None or value == "" for value in values):
            raise DataError(f"row {number} of {path} has no {' or '.join(columns)}; complete or remove it.")
        found.append(values)
    if not found:
        raise DataError(f"{path} has no rows; give a table of {' and '.join(columns)}.")
    return found


def _csv(path: Path, columns: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    del columns
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            yield from csv.DictReader(stream, strict=True)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 ({error.reason}); convert it, for instance with iconv."
        ) from None
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV table: {error}.") from None


def _json_lines(path: Path, columns: Sequence[str]) -> Iterable[Mapping[str, Any]]:
    del columns
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
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
        wanted = [name for name in columns if name in names] or names
        for batch in table.iter_batches(columns=wanted):
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a Parquet file: {error}.") from None


READERS: dict[str, Callable[[Path, Sequence[str]], Iterable[Mapping[str, Any]]]] = {
    ".csv": _csv,
    ".jsonl": _json_lines,
    ".parquet": _parquet,
}
