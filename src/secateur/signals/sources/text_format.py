"""How numbers are written in a text file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TextFormat:
    """How numbers are written in a text file.

    Parameters
    ----------
    delimiter : str or None
        The sign between columns; None to take the first of semicolon, tabulator, comma and space that
        the first line holds.
    decimal : {'.', ','}
        The decimal sign.
    skip_lines : int
        Lines before the header, or before the first row if there is none.
    """

    delimiter: str | None = None
    decimal: Literal[".", ","] = "."
    skip_lines: int = 0


DEFAULT_TEXT = TextFormat()
