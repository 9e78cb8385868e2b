"""How numbers are written in a text file, told or found from its first lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from secateur.signals.sources.quantities import UNITS, unit_of

DELIMITERS = (";", "\t", ",", " ")
_COMMA_NUMBER = re.compile(r"^[+-]?\d+,\d+(?:[eE][+-]?\d+)?$")
_BRACKETS = re.compile(r"^[\[(<{]\s*|\s*[\])>}]$")
_DATE = re.compile(r"^\d{4}-\d\d-\d\d|^\d{1,2}[./-]\d{1,2}[./-]\d{4}|^\d{1,2}:\d\d:\d\d")


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """How numbers are written in a text file.

    Parameters
    ----------
    delimiter : str or None
        The sign between columns; None to find it: semicolon, tabulator, comma or space.
    decimal : {'.', ','} or None
        The decimal sign; None to find it.
    skip_lines : int
        Lines before the header, or before the first row if there is none.
    """

    delimiter: str | None = None
    decimal: Literal[".", ","] | None = None
    skip_lines: int = 0


DEFAULT_TEXT = TextFormat()


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a certain file is written.

    Attributes
    ----------
    delimiter : str
    decimal : {'.', ','}
    header : tuple of str
        Names of the columns, with the units of a line below; empty if the first line is a row of numbers.
    n_columns : int
    header_lines : int
        Lines before the first row: 0, 1, or 2 where one gives the units.
    """

    delimiter: str
    decimal: Literal[".", ","]
    header: tuple[str, ...]
    n_columns: int
    header_lines: int = 0


def find_dialect(lines: Sequence[str], text: TextFormat) -> Dialect:
    """Find delimiter, decimal sign and header from the first lines of a file, blank ones left out.

    A single column of numbers with decimal commas is told from two columns of whole numbers by a header of
    one word, or by zeros behind the comma (``1,05``).
    """
    body = lines[2:] or lines[1:] or lines  # a second line may hold units
    delimiter = text.delimiter or _delimiter(lines[0], body, text.decimal)
    decimal = text.decimal or _decimal(body, delimiter)
    fields = split_fields(lines[0], delimiter)
    has_header = not all(_is_value(field, decimal) for field in fields)
    is_numbered = not has_header and _is_numbered(fields, lines[1:], delimiter)
    units = _units(lines, delimiter, decimal) if has_header else None
    return Dialect(
        delimiter=delimiter,
        decimal=decimal,
        header=tuple(map(_with_unit, fields, units or [""] * len(fields))) if has_header else (),
        n_columns=len(fields),
        header_lines=has_header + is_numbered + (units is not None),
    )


def _units(lines: Sequence[str], delimiter: str, decimal: str) -> list[str] | None:
    """Return the units that the second line gives, such as ``s;g`` or ``(ms),(V)``; None if it is a row."""
    if len(lines) < 3:
        return None
    header, second, third = (split_fields(line, delimiter) for line in lines[:3])
    units = [_BRACKETS.sub("", field) for field in second]
    gives_units = (
        len(header) == len(second) == len(third)
        and any(unit.lower() in UNITS for unit in units)
        and not any(field and _is_value(field, decimal) for field in second)
        and all(_is_value(field, decimal) for field in third)
    )
    return units if gives_units else None


def _is_numbered(first: list[str], lines: Sequence[str], delimiter: str) -> bool:
    """Say whether the first line numbers the columns, ``0,1,2`` as pandas writes, above rows that do not."""
    numbers = first if first[0] else first[1:]
    if not numbers or numbers != [str(number) for number in range(len(numbers))]:
        return False
    return bool(lines) and not any(split_fields(line, delimiter)[-1].isdigit() for line in lines)


def _with_unit(name: str, unit: str) -> str:
    return f"{name} [{unit}]".strip() if unit.lower() in UNITS and unit_of(name) is None else name


def split_fields(line: str, delimiter: str) -> list[str]:
    """Split one line; several spaces count as one, and a sign between quotes is none."""
    parts = line.split() if delimiter == " " else next(csv.reader([line], delimiter=delimiter), [""])
    return [part.strip().strip('"').strip() for part in parts]


def _delimiter(first: str, body: Sequence[str], decimal: str | None) -> str:
    row = body[-1]
    for sign in DELIMITERS:
        if sign == decimal or sign not in row:
            continue
        if sign == "," and decimal is None and (_is_one_column(first, body) or _are_spaced(body)):
            continue
        if len(split_fields(row, sign)) > 1:
            return sign
    # one column: any sign that no line holds
    return ";" if decimal == "," or "," in row else ","


def _is_one_column(first: str, body: Sequence[str]) -> bool:
    """Say whether every line is one number with a decimal comma."""
    rows = [line.strip() for line in body]
    if not all(_is_number(row) for row in rows):
        return False
    if "," not in first:
        return True
    behind = [row.partition(",")[2] for row in rows if "," in row]
    return any(len(digits) > 1 and digits.startswith("0") for digits in behind)


def _are_spaced(body: Sequence[str]) -> bool:
    """Say whether every line is several numbers with decimal commas and spaces between."""
    rows = [line.split() for line in body]
    return all(len(row) > 1 and all(_is_number(field) for field in row) for row in rows)


def _is_number(field: str) -> bool:
    return bool(_COMMA_NUMBER.match(field)) or field.lstrip("+-").isdigit()


def _decimal(body: Sequence[str], delimiter: str) -> Literal[".", ","]:
    return "," if any(_COMMA_NUMBER.match(f) for line in body for f in split_fields(line, delimiter)) else "."


def _is_value(field: str, decimal: str) -> bool:
    """Say whether a field may stand in a row: a number, a date, or nothing."""
    if not field or _DATE.match(field):
        return True
    try:
        float(field.replace(decimal, "."))
    except ValueError:
        return False
    return True
