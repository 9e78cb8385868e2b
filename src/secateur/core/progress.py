"""Progress for people: one console on standard error, bars for work longer than a moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

T = TypeVar("T")

console = Console(stderr=True, markup=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress and notes, for machine-readable output and for tests."""
    former, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = former


class Advance:
    """Handle of a running bar."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def advance(self, steps: int = 1, **fields: object) -> None:
        """Move on by ``steps``; keyword values are shown behind the bar ("loss=0.12")."""
        shown = "  ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in fields.items()
        )
        self._bar.update(self._task, advance=steps, shown=shown)


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Advance]:
    """Show a bar of ``total`` steps while the block runs; it disappears when done.

    Where the output is no terminal (a log file), the description alone is written.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[shown]}", markup=False),
    )
    shown = console.is_terminal and not console.quiet
    if not shown:
        console.print(f"{description} ...")
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        yield Advance(bar, bar.add_task(description, total=total, shown=""))


def track(iterable: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Iterate while showing a bar."""
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # type: ignore[arg-type]
    with progress(description, total) as bar:
        for entry in iterable:
            yield entry
            bar.advance()
