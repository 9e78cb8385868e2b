"""The independence check on the screen, first as it goes and then as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table

from secateur.cli.console import Console, headed
from secateur.core.progress import console as progress_console
from secateur.report.numbers import MISSING, duration
from secateur.report.sia import (
    OUTCOMES,
    PAGE,
    UNITS,
    couplings_left,
    figure_headings,
    measuring,
    open_definitions,
    sentence,
    verdict_rows,
)

if TYPE_CHECKING:
    from secateur.workflow.sia import Check


class Telling:
    """Says what is known so far: the structural answer at once, then each verdict that is new."""

    def __init__(self) -> None:
        self._told: str | None = None

    def __call__(self, check: Check) -> None:
        """Print the answer so far, if it differs from the last one."""
        answer = ", ".join(f"{entry.granularity} {entry.verdict}" for entry in check.verdict.granularities)
        if answer != self._told:
            self._told = answer
            measured = check.measured
            since = "structure" if measured is None else f"after {duration(measured.seconds)}"
            progress_console.print(f"{since}: {answer}", highlight=False)


def print_check(record: Mapping[str, Any], out: Path | None) -> None:
    """Show verdicts, figures, what is no unit and why, and the outcome in one sentence."""
    console = Console()
    rows = verdict_rows(record)
    table = Table(title=f"{record['model']}, family {record['structure']['family']}")
    for heading in ("granularity", "cut as", "verdict", "score by", "predicted, before recovery"):
        table.add_column(heading)
    for row in rows:
        predicted = row.predicted
        if row.predicted_apart != MISSING:
            predicted += f"\nmatrix by matrix: {row.predicted_apart}"
        style = "red" if row.unreliable else None
        table.add_row(row.granularity, row.unit, row.verdict, row.criterion, predicted, style=style)
    console.print(table)
    measured = record["measured"]
    if measured is not None:
        figures = Table(title=measuring(measured))
        for heading in ("granularity", *figure_headings(record)):
            figures.add_column(heading)
        for row in rows:
            figures.add_row(row.granularity, *row.figures)
        console.print(figures)
        console.print(OUTCOMES, style="dim", highlight=False)
    for entry in open_definitions(record):
        if entry["reason"]:
            console.print(
                headed(f"one {UNITS[entry['component']]} by itself is no unit", f": {entry['reason']}"),
                highlight=False,
            )
        for text in entry["repair"]:
            console.print(Padding(f"- {text}", (0, 0, 0, 2)), highlight=False)
    for text in couplings_left(record):
        console.print(headed("coupled in spite of closed units", f": {text}"), highlight=False)
    console.print(sentence(record), highlight=False)
    if out is not None:
        console.print(f"page: {out / PAGE}", soft_wrap=True)
