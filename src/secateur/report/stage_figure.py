"""The figure by which the stages of a run are told: accuracy, perplexity or similarity."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from secateur.report.numbers import axis_number, axis_percent, count, decimal, percent


@dataclass(frozen=True, kw_only=True)
class StageFigure:
    """How one figure of stage records is named and written.

    Parameters
    ----------
    key : str
        Of the figures.
    words : str
    write, write_on_axis : callable
    is_share : bool
        Whether it lies between 0 and 1.
    """

    key: str
    words: str
    write: Callable[[Any], str]
    write_on_axis: Callable[[float], str]
    is_share: bool


FIGURES = (
    StageFigure(key="accuracy", words="accuracy", write=percent, write_on_axis=axis_percent, is_share=True),
    StageFigure(
        key="perplexity",
        words="perplexity",
        write=lambda value: decimal(value, 2),
        write_on_axis=axis_number,
        is_share=False,
    ),
    StageFigure(
        key="similarity",
        words="similarity to the dense model",
        write=decimal,
        write_on_axis=axis_number,
        is_share=True,
    ),
)
SIZE = StageFigure(
    key="parameters", words="parameters", write=count, write_on_axis=axis_number, is_share=False
)


def stage_figure(records: Sequence[Mapping[str, Any]]) -> StageFigure:
    """Return the figure that the records hold; their size where nothing was measured."""
    held = records[0]["before"] if records else {}
    return next((figure for figure in FIGURES if held.get(figure.key) is not None), SIZE)
