"""Figures of the 2 x 2 study: accuracy over ratio in 2 x 2 panels, and predictor against loss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from two_by_two_reading import BACKBONES, Results, cell_of, interval, mean_of, title

from secateur.core.files import write_aside

COLOURS = {"closed": "#1f5f99", "naive": "#c0392b", "naive attention": "#d68910", "naive ffn": "#7d3c98"}
FEWEST_SEEDS = 3
"""Fewer seeds give bands wider than the picture."""
DASHES = {"taylor": "-", "magnitude": "--", "activation": ":"}


def draw(by_task: dict[str, Results], out: Path) -> None:
    """Write ``OUT_TASK.png`` and ``OUT_TASK_prediction.png`` for each task."""
    for task, results in by_task.items():
        name = task.replace(",", "").replace(" ", "_")
        _save(_panels(task, results), out.with_name(f"{out.name}_{name}.png"))
        _save(_prediction(task, results), out.with_name(f"{out.name}_{name}_prediction.png"))


def _save(figure: Figure, path: Path) -> None:
    with write_aside(path) as aside:
        figure.savefig(aside, format="png", dpi=110)


def _panels(task: str, results: Results) -> Figure:
    """Accuracy, mean over noise levels and clean, over the ratio; bands are 95 % t intervals over seeds."""
    figure = Figure(figsize=(12, 8), layout="constrained")
    ratios = results.ratios()
    axes = figure.subplots(2, 2, sharex=True, sharey=True).ravel()
    for axis, backbone in zip(axes, BACKBONES, strict=True):
        for criterion in results.criteria():
            for treatment, colour in COLOURS.items():
                if backbone[0] == "mha" and treatment.startswith("naive "):
                    continue
                found = [
                    results.by_seed(mean_of("accuracy"), backbone, treatment, criterion, r).values()
                    for r in ratios
                ]
                kept = [
                    (ratio, *interval(values)) for ratio, values in zip(ratios, found, strict=True) if values
                ]
                if not kept:
                    continue
                x, mean, half = (np.array(column, dtype=float) for column in zip(*kept, strict=True))
                axis.plot(
                    x,
                    100 * mean,
                    DASHES[criterion],
                    color=colour,
                    label=f"{treatment}, {criterion}",
                    marker=".",
                )
                if len(results.seeds) >= FEWEST_SEEDS:
                    low, high = 100 * (mean - half), 100 * (mean + half)
                    axis.fill_between(x, low, high, color=colour, alpha=0.08)
        dense = results.by_seed(mean_of("accuracy"), backbone, "dense")
        if dense:
            axis.axhline(100 * interval(dense.values())[0], color="0.4", linewidth=0.8)
        axis.set_title(title(*backbone))
        axis.set_xscale("log")
        axis.set_xticks(ratios, [f"{ratio:g}x" for ratio in ratios], minor=False)
        axis.set_xticks([], minor=True)
        axis.set_ylim(0, 100)
    handles, labels = axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper")
    figure.supxlabel("dense over remaining parameters")
    figure.supylabel("accuracy %, mean over noise levels and clean (grey: dense)")
    figure.suptitle(f"{task}: before recovery")
    return figure


def _prediction(task: str, results: Results) -> Figure:
    """Accuracy lost over the added task loss on calibration windows, one point a cut."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axis = figure.subplots()
    dense = {
        cell_of(line): np.mean(line["accuracy"])
        for line in results.lines
        if line["treatment"] == "dense" and not line["recovery_steps"]
    }
    for treatment, colour in COLOURS.items():
        points = [
            (
                line["calibration_loss_increase"],
                100 * (dense[cell_of(line)] - np.mean(line["accuracy"])),
            )
            for line in results.lines
            if line["treatment"] == treatment and not line["recovery_steps"]
        ]
        if points:
            axis.scatter(*zip(*points, strict=True), s=8, color=colour, alpha=0.5, label=treatment)
    axis.set_xscale("symlog", linthresh=0.1)
    axis.set_xlabel("added task loss on calibration windows (nats)")
    axis.set_ylabel("accuracy lost, points, mean over noise levels and clean")
    axis.set_title(f"{task}: every cut before recovery")
    axis.legend()
    return figure
