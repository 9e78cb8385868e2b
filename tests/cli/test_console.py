"""What comes from files is shown as it is: brackets are no markup, wherever a command prints."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

from rich.table import Table

import secateur.cli
from secateur.cli.console import Console, headed
from secateur.core.progress import console, progress

ODD = "acc [m/s^2] [/red] [bold]x"


def test_brackets_are_text_in_lines_cells_titles_and_headings():
    out = StringIO()
    screen = Console(file=out, width=200)
    table = Table(title=ODD)
    table.add_column(ODD)
    table.add_row(ODD)
    screen.print(table)
    screen.print(ODD)
    screen.print(headed("unit", f": {ODD}"))
    assert out.getvalue().count(ODD) == 5


def test_progress_shows_brackets(capsys):
    with progress(ODD, 3) as bar:
        bar.advance(file=ODD)
    console.print(ODD)
    assert capsys.readouterr().err.count(ODD) == 2


def test_every_command_prints_through_this_console():
    for path in Path(secateur.cli.__file__).parent.glob("*.py"):
        text = path.read_text()
        assert path.name == "console.py" or "rich.console" not in text, path.name
        assert not re.search(r"\[/?(bold|red|dim)\]", text), path.name
