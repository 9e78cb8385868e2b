"""``secateur report``: write the page of a run anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli import options


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    as_json: options.AsJson = False,
) -> None:
    """Write ``report.html`` from the results in a run folder."""
    from secateur.report.page import write_report

    page = write_report(run)
    typer.echo(json.dumps({"report": str(page)}) if as_json else str(page))
