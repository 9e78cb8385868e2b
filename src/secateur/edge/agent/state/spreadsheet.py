"""Lines of CSV that a spreadsheet opens as text: nothing in them is taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""With these a formula begins; signs of full width count alike."""


def csv_line(values: Iterable[object]) -> str:
    """Return one line with its texts in quotes, and an apostrophe before what would be a formula."""
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC).writerow(_harmless(value) for value in values)
    return stream.getvalue()


def _harmless(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip(" \"'").startswith(_FORMULA) else text
