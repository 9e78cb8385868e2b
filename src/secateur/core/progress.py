"""Progress for people: one console on standard error, bars for work longer than a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

T = TypeVar("T")

console = Console(stderr=True, markup=False)


class _Silence:
    """Keeps the console quiet while anybody wants it so, in whatever order threads come and go."""

    def __init__(self) -> None:
        self._lock, self._wanted_by, self._former = threading.Lock(), 0, False

    def begin(self) -> None:
        with self._lock:
            if self._wanted_by == 0:
                self._former = console.quiet
            self._wanted_by += 1
            console.quiet = True

    def end(self) -> None:
        with self._lock:
            self._wanted_by -= 1
            if self._wanted_by == 0:
                console.quiet = self._former


_silence = _Silence()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress and notes, for machine-readable output and for tests."""
    _silence.begin()
    try:
        yield
    finally:
        _silence.end()


TOLD_AFTER_S = 5.0
"""How long work has run before a log is told how long it will take."""
WORTH_TELLING_S = 60.0


class Advance:
    """Handle of a running bar; where no bar is shown, it says once how long the work will take."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task
        self._is_told = not bar.disable
        self._first: tuple[float, float] | None = None

    def advance(self, steps: int = 1, **fields: object) -> None:
        """Move on by ``steps``; keyword values are shown behind the bar ("loss=0.12")."""
        shown = "  ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in fields.items()
        )
        self._bar.update(self._task, advance=steps, shown=shown)
        if not self._is_told:
            self._tell_time_left()

    def _tell_time_left(self) -> None:
        """Once enough is done to judge by; the first step warms up, or stands for what a former run did."""
        task, now = self._bar.tasks[self._task], time.monotonic()
        if self._first is None:
            self._first = now, task.completed
        spent, done = now - self._first[0], task.completed - self._first[1]
        if spent < TOLD_AFTER_S or not done or task.total is None:
            return
        self._is_told = True
        left_s = spent * (task.total - task.completed) / done
        if left_s >= WORTH_TELLING_S:
            console.print(
                f"{task.description}: {task.completed:g} of {task.total:g}, about {left_s / 60:.0f} min to go"
            )


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
