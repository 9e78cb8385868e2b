"""Confusion matrices as tables whose cells are shaded by their share of the true class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secateur.report.numbers import words


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Windows of one true class called one class; ``share`` is of the true class's windows."""

    windows: int
    share: float
    right: bool


@dataclass(frozen=True, kw_only=True)
class ConfusionRow:
    """Windows of one true class; ``cells`` is empty of shares if it has none."""

    name: str
    windows: int
    cells: tuple[Cell, ...]


def confusion_rows(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> list[ConfusionRow]:
    """Return the rows of a confusion matrix.

    Parameters
    ----------
    counts : sequence of sequence of int
        True class (rows) by called class (columns).
    classes : sequence of str
        Names in the same order.
    """
    rows = []
    for true, (name, line) in enumerate(zip(classes, counts, strict=True)):
        total = sum(line)
        rows.append(
            ConfusionRow(
                name=words(name),
                windows=total,
                cells=tuple(
                    Cell(windows=windows, share=windows / total if total else 0.0, right=called == true)
                    for called, windows in enumerate(line)
                ),
            )
        )
    return rows
