"""Pictures of a measurement: latencies, memory, and what was gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secateur.core.svg import save_svg

# Okabe and Ito's colours, told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#009E73", "#D55E00", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
PHASES = {"imported": "imports", "loaded": "loaded", "steady": "steady", "peak": "peak"}
PHASE_COLOURS = ("#d9d9d9", "#a6bddb", "#3690c0", "#023858")
MIB = 2**20
_WIDTH, _DPI = 7.2, 130


def write_bench_figures(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw a measurement as PNG and SVG.

    Parameters
    ----------
    result : mapping
        Content of ``bench.json``.
    folder : Path
        An existing folder that gets ``latency``, and as far as measured ``memory`` and ``ratios``; with the
        number of tokens behind the name where there is one.

    Returns
    -------
    list of Path
        The pictures.
    """
    paths = []
    for group in result["groups"]:
        behind = "" if group["tokens"] is None else f"_{group['tokens']}_tokens"
        figures = {
            "latency": latency_figure(group),
            "memory": memory_figure(group),
            "ratios": ratio_figure(group),
        }
        for name, figure in figures.items():
            if figure is not None:
                paths += _save(figure, folder / f"{name}{behind}")
    return paths


def milliseconds(value: float) -> str:
    """Write a time to three digits, whole from 1000 on: 0.1404 -> '0.14', 1113.4 -> '1113'."""
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def latency_figure(group: Mapping[str, Any]) -> Figure:
    """Draw the share of inferences that were done after so many milliseconds."""
    figure, axes = _start(3.0 + 0.2 * len(group["models"]))
    for model, colour in zip(group["models"], _colours(group["models"]), strict=True):
        quantiles, wall = model["wall_quantiles_ms"], model["wall_ms"]
        axes.plot(
            quantiles,
            np.linspace(0, 100, len(quantiles)),
            color=colour,
            drawstyle="steps-post",
            label=f"{model['name']}: p50 {milliseconds(wall['p50'])}, p99 {milliseconds(wall['p99'])} ms, "
            f"processor {milliseconds(model['cpu_ms']['p50'])} ms",
        )
        axes.plot(wall["p50"], 50, "o", color=colour, markersize=4)
    axes.set_xscale("log")
    axes.set_xlabel("wall time of one inference, ms")
    axes.set_ylabel("inferences done, %")
    axes.set_title(_title("Latency", group))
    _legend(figure, columns=1)
    return figure


def memory_figure(group: Mapping[str, Any]) -> Figure | None:
    """Draw resident memory phase by phase; None where it was not measured."""
    models = [model for model in group["models"] if model["memory"]]
    if not models:
        return None
    figure, axes = _start(1.4 + 0.75 * len(models))
    for number, (phase, colour) in enumerate(zip(PHASES, PHASE_COLOURS, strict=True)):
        held = [model["memory"][phase] / MIB for model in models]
        places = [row + 0.2 * (number - 1.5) for row in range(len(models))]
        bars = axes.barh(places, held, height=0.19, color=colour, label=PHASES[phase])
        axes.bar_label(bars, [f"{value:.0f}" for value in held], fontsize=7, padding=2)
    _name_rows(axes, models)
    axes.set_xlabel("resident memory, MiB")
    axes.set_title(_title("Memory", group))
    axes.margins(x=0.1)
    _legend(figure, columns=5)
    return figure


def ratio_figure(group: Mapping[str, Any]) -> Figure | None:
    """Draw how many times less each model takes than the first base; None without a base."""
    if not group["comparisons"]:
        return None
    base = group["comparisons"][0]["base"]
    compared = [entry for entry in group["comparisons"] if entry["base"] == base]
    figure, axes = _start(1.4 + 0.85 * len(compared))
    kinds = {
        "processor time": [(c["cpu"]["value"], c["cpu"]["low"], c["cpu"]["high"]) for c in compared],
        "wall time": [(c["wall"]["value"], c["wall"]["low"], c["wall"]["high"]) for c in compared],
        "peak memory above imports": [(c["above_import"],) * 3 for c in compared],
        "peak memory": [(c["peak"],) * 3 for c in compared],
        "file size": [(c["stored"],) * 3 for c in compared],
    }
    known = {name: rows for name, rows in kinds.items() if None not in rows[0]}
    for number, (name, rows) in enumerate(known.items()):
        values, lows, highs = np.array(rows, dtype=float).T
        places = np.arange(len(rows)) + 0.8 / len(known) * (number - (len(known) - 1) / 2)
        # the interval is of the median over turns and may leave it out by a rounding error
        errors = np.clip([values - lows, highs - values], 0, None)
        bars = axes.barh(
            places,
            values,
            height=0.75 / len(known),
            color=COLOURS[number],
            xerr=errors if errors.any() else None,
            label=name,
        )
        axes.bar_label(bars, [f"{value:.1f}×" for value in values], fontsize=7, padding=3)
    _name_rows(axes, [{"name": entry["model"]} for entry in compared])
    axes.axvline(1.0, color="#666666", linewidth=0.8)
    axes.set_xlabel(f"times less than {base}")
    axes.set_title(_title("What was gained", group))
    axes.margins(x=0.12)
    _legend(figure, columns=5)
    return figure


def _start(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#eeeeee")
    axes.set_axisbelow(True)
    return figure, axes


def _name_rows(axes: Axes, models: Sequence[Mapping[str, Any]]) -> None:
    axes.set_yticks(range(len(models)), [model["name"] for model in models])
    axes.invert_yaxis()


def _legend(figure: Figure, *, columns: int) -> None:
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=columns)


def _title(words: str, group: Mapping[str, Any]) -> str:
    at = "one window" if group["tokens"] is None else f"{group['tokens']} tokens"
    return f"{words}, batch 1, {at}"


def _colours(models: Sequence[Any]) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(len(models))]


def _save(figure: Figure, stem: Path) -> list[Path]:
    paths = [stem.with_name(f"{stem.name}.{ending}") for ending in ("png", "svg")]
    figure.savefig(paths[0], dpi=_DPI)
    save_svg(figure, paths[1], stem.name)
    return paths
