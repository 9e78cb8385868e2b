"""Staleness of each granularity after each stage, as a matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

STAGES = ("layers", "groups", "channels")
GRANULARITIES = ("layer", "group", "channel")
TITLES = {
    "matched": "single stages of equal size",
    "cascade": "first stage of a cascade, at its own size",
}
LARGEST = 1.0
"""Staleness of unrelated orders; the colour scale ends there."""


def staleness_matrices(result: Mapping[str, Any]) -> Figure | None:
    """Draw a matrix for the matched stages and one for those of the cascade.

    Returns
    -------
    Figure or None
        None if nothing could be compared.
    """
    found = {how: cells for how, cells in result["summary"]["staleness"].items() if cells}
    if not found:
        return None
    figure = Figure(figsize=(1.2 + 5.2 * len(found), 5.0), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(found)))
    for axes, (how, cells) in zip(panels, found.items(), strict=True):
        picture = _matrix(axes, cells)
        axes.set_title(TITLES[how], fontsize=11)
        axes.set_xlabel("scores of ...")
        axes.set_ylabel("... after a cut of")
    figure.colorbar(picture, ax=panels.tolist(), shrink=0.8, label="staleness, 1 − Spearman")
    figure.suptitle("How far a stage changes the order of the units that are left", fontsize=12)
    return figure


def _matrix(axes: Axes, cells: Sequence[Mapping[str, Any]]) -> Any:
    values = np.full((len(STAGES), len(GRANULARITIES)), np.nan)
    for cell in cells:
        values[STAGES.index(cell["stage"]), GRANULARITIES.index(cell["of"])] = cell["mean"]
    picture = axes.imshow(np.ma.masked_invalid(values), cmap="YlOrRd", vmin=0.0, vmax=LARGEST)
    axes.set_xticks(range(len(GRANULARITIES)), [f"{name}s" for name in GRANULARITIES])
    axes.set_yticks(range(len(STAGES)), STAGES)
    axes.tick_params(length=0)
    for cell in cells:
        row, column = STAGES.index(cell["stage"]), GRANULARITIES.index(cell["of"])
        colour = "white" if cell["mean"] > 0.6 * LARGEST else "black"
        axes.text(
            column, row - 0.16, f"{cell['mean']:z.2f}", ha="center", va="center", fontsize=13, color=colour
        )
        axes.text(column, row + 0.18, _details(cell), ha="center", va="center", fontsize=7.5, color=colour)
    for row, column in zip(*np.nonzero(np.isnan(values)), strict=True):
        axes.text(column, row, "no value", ha="center", va="center", fontsize=8, color="#777777")
    return picture


def _details(cell: Mapping[str, Any]) -> str:
    lines = []
    if cell["interval"] is not None:
        low, high = cell["interval"]
        lines.append(f"{low:z.2f} to {high:z.2f}")
    if cell["noise"] is not None:
        lines.append(f"noise {cell['noise']:z.2f}")
    return "\n".join(lines)
