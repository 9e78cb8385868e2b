"""Turn lines of delimited text into columns: numbers, dates or words."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

import numpy as np

from secateur.signals.sources.text_format import Dialect

_CLOCK = re.compile(
    r"^(?:(\d{1,2})([./-])(\d{1,2})[./-](\d{4})[ T])?(\d{1,2}):(\d\d):(\d\d(?:[.,]\d{1,9})?)"
    r"(?:Z| ?([AaPp])[Mm])?$"
)
"""A time of day, of 24 or twice 12 hours, perhaps after a date that does not begin with the year."""

_ZONE = re.compile(r"(?<=\d)(?:Z|[+-]\d\d:?\d\d)$")
"""A time zone behind an ISO date; one recording has one."""

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "#n/a", "#na"})
"""What is read as NaN, in any case."""


def numbers_of(block: bytes, columns: Sequence[int], dialect: Dialect) -> np.ndarray:
    """Read columns of numbers.

    Parameters
    ----------
    block : bytes
        Whole lines; blank ones are left out.
    columns : sequence of int
    dialect : Dialect

    Returns
    -------
    ndarray of float64, shape (len(columns), rows)
        NaN where a field is empty or says that there is no value.

    Raises
    ------
    ValueError
        If a field is no number, or a row has another number of fields than the header.
    """
    quick = _all_plain_numbers(block, columns, dialect)
    if quick is not None:
        return quick
    return np.array([[_number(field, dialect) for field in one] for one in _fields(block, columns, dialect)])


def values_of(block: bytes, column: int, dialect: Dialect) -> np.ndarray:
    """Read one column of anything, shape (rows,): float64, datetime64[ns], or words.

    Raises
    ------
    ValueError
        If a row has another number of fields than the header.
    """
    quick = _all_plain_numbers(block, (column,), dialect)
    if quick is not None:
        return quick[0]
    (fields,) = _fields(block, (column,), dialect)
    for convert in (_as_numbers, _as_dates):
        try:
            return convert(fields, dialect)
        except ValueError:
            continue
    return np.array(fields, dtype=object)


def _all_plain_numbers(block: bytes, columns: Sequence[int], dialect: Dialect) -> np.ndarray | None:
    """Read the usual case in one piece; None where any line is anything else."""
    spaced = dialect.delimiter == " "
    rows = sum(1 for line in block.split(b"\n") if line.strip())
    if not spaced and block.count(dialect.delimiter.encode()) != rows * (dialect.n_columns - 1):
        return None
    if dialect.decimal == ",":
        block = block.replace(b",", b".")
    try:
        found = np.loadtxt(
            io.BytesIO(block),
            delimiter=None if spaced else dialect.delimiter,
            usecols=None if spaced else list(columns),
            comments=None,
            ndmin=2,
        )
    except ValueError:
        return None
    if len(found) != rows or (spaced and found.shape[1] != dialect.n_columns):
        return None
    return found[:, list(columns)].T if spaced else found.T


def _fields(block: bytes, columns: Sequence[int], dialect: Dialect) -> list[list[str]]:
    """Return the fields of some columns."""
    lines = [line.strip(" \r") for line in block.decode("utf-8", errors="replace").split("\n")]
    lines = [line for line in lines if line.strip()]
    if dialect.delimiter == " ":
        rows = [line.split() for line in lines]
    else:
        rows = list(csv.reader(lines, delimiter=dialect.delimiter, skipinitialspace=True))
    if len(rows) != len(lines):
        raise ValueError("a field between quotes goes over several lines")
    for row in rows:
        if len(row) != dialect.n_columns:
            raise ValueError(f"a row has {len(row)} fields, not {dialect.n_columns}: {' '.join(row)[:80]!r}")
    return [[row[column].strip().strip('"') for row in rows] for column in columns]


def _number(field: str, dialect: Dialect) -> float:
    return float("nan") if field.lower() in _MISSING else float(field.replace(dialect.decimal, "."))


def _as_numbers(fields: list[str], dialect: Dialect) -> np.ndarray:
    return np.array([_number(field, dialect) for field in fields])


def _as_dates(fields: list[str], _dialect: Dialect) -> np.ndarray:
    """Read ISO dates, ``31.12.2024 23:59:59,5``, ``12/31/2024 23:59:59`` and times of day alone."""
    return np.array([np.datetime64(_in_iso(field), "ns") for field in fields])


def _in_iso(field: str) -> str:
    found = _CLOCK.match(field)
    if found is None:
        return _ZONE.sub("", field).replace(",", ".")
    first, sign, second, year, hour, minute, seconds, half = found.groups()
    if half:
        hour = int(hour) % 12 + (12 if half in "Pp" else 0)
    day, month = (first, second) if sign != "/" or int(first or 0) > 12 else (second, first)
    date = "1970-01-01" if year is None else f"{year}-{int(month):02d}-{int(day):02d}"
    return f"{date}T{int(hour):02d}:{minute}:{seconds.replace(',', '.')}"
