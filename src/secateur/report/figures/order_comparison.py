"""Accuracy and fidelity of every order, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secateur.report.figures.order_colours import PLAIN, REFERENCE, SEED, arm_in_words

COARSE_TO_FINE = "layers-groups-channels"
FIGURES = {
    "accuracy": ("accuracy, mean over the noise levels, %", 100.0),
    "kl": ("KL from the dense model, mean over the noise levels, nats", 1.0),
}


def order_comparison(result: Mapping[str, Any]) -> Figure | None:
    """Draw one row an arm: every seed, the mean, its 95 % interval, and the corrected p-value.

    Returns
    -------
    Figure or None
        None if no arm was finished on all seeds.
    """
    summary = result["summary"]
    names = [name for name in result["seeds"][0]["arms"] if name in summary["arms"]]
    if not names:
        return None
    figure = Figure(figsize=(11.5, 1.5 + 0.42 * len(names)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, (label, scale)) in zip(panels, FIGURES.items(), strict=True):
        _panel(axes, result, names, name, scale)
        axes.set_xlabel(label)
    panels[0].set_yticks(range(len(names)), [arm_in_words(name) for name in names])
    panels[0].invert_yaxis()
    ratio, n_seeds = result["settings"]["ratio"], len(result["seeds"])
    figure.suptitle(
        f"Orders of the stages at {ratio:g}× and equal recovery, {result['settings']['backbone']} on "
        f"{result['split']['protocol']}, {n_seeds} seed{'s' if n_seeds > 1 else ''}",
        fontsize=12,
    )
    return figure


def _panel(axes: Axes, result: Mapping[str, Any], names: list[str], figure: str, scale: float) -> None:
    tests = {test["name"]: test for test in result["summary"]["tests"][figure]}
    for row, name in enumerate(names):
        colour = REFERENCE if name == COARSE_TO_FINE else PLAIN
        seeds = [scale * seed["arms"][name][figure] for seed in result["seeds"]]
        axes.plot(seeds, [row] * len(seeds), "o", color=SEED, markersize=4, zorder=1)
        found = result["summary"]["arms"][name][figure]
        mean = scale * found["mean"]
        if found["interval"] is not None:
            low, high = (scale * end for end in found["interval"])
            axes.errorbar(
                mean,
                row,
                xerr=[[mean - low], [high - mean]],
                color=colour,
                capsize=3,
                linewidth=1.6,
                zorder=2,
            )
        axes.plot(mean, row, "D", color=colour, markersize=6, zorder=3)
        p_value = tests.get(name, {}).get("t_p_holm")
        if p_value is not None:
            axes.annotate(
                f"p = {p_value:.2g}",
                (1.0, row),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=SEED,
            )
    if figure == "accuracy":
        dense = scale * result["summary"]["reference"]["accuracy"]["mean"]
        axes.axvline(dense, color=SEED, linewidth=1, linestyle=":")
        axes.annotate(
            "dense, as trained",
            (dense, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=SEED,
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
