"""The screen: what it prints comes from files, so brackets in a name or unit are text, never markup."""

from __future__ import annotations

from typing import Any

import rich.console
from rich.text import Text


class Console(rich.console.Console):
    """A console that shows ``[...]`` as it is, in lines and in the cells of tables."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, **settings)


def headed(heading: str, text: str) -> Text:
    """Return a line that begins with a heading in bold."""
    return Text.assemble((heading, "bold"), text)
