"""Accuracy or perplexity against size, stage by stage: what each cut cost and what recovery won back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from secateur.report.figures.axes import Axes, decade_ticks, nice_ticks
from secateur.report.numbers import axis_count, count, words
from secateur.report.stage_figure import SIZE, StageFigure, stage_figure

NAME_WIDTH = 62


def size_path(records: Sequence[dict[str, Any]]) -> Markup | None:
    """Draw the way from the dense model to the smallest one.

    Parameters
    ----------
    records : sequence of dict
        Stage records with ``stage``, ``before``, ``after_cut`` and ``after_recovery`` (each with
        ``parameters`` and the figure of the task) and ``accepted``.

    Returns
    -------
    Markup or None
        None if there is no stage to draw, or nothing was measured.
    """
    figure = stage_figure(records)
    if figure is SIZE:
        return None
    points = [record[name] for record in records for name in ("before", "after_cut", "after_recovery")]
    sizes = [point["parameters"] for point in points]
    values = [point[figure.key] for point in points]
    # figures that hardly change are not blown up, nor pressed to the floor by the names above them
    span = max(max(values) - min(values), 0.1 * max(values)) or 0.1
    margin = 0.1 * span
    top = min(1.0, max(values)) if figure.is_share else max(values)
    axes = Axes(
        x_limits=(1.25 * max(sizes), 0.8 * min(sizes)),
        y_limits=(max(0.0, max(values) - span - margin), top + 2 * margin),
        title=f"Validation {figure.words} against parameters through the stages",
        log_x=True,
    )
    low, high = axes.y_limits
    ticks = nice_ticks(low, min(high, 1.0) if figure.is_share else high)
    axes.y_axis(ticks, f"{figure.words} on validation samples", figure.write_on_axis)
    axes.x_axis(decade_ticks(*axes.x_limits[::-1]), "parameters, smaller to the right", axis_count)
    lift = 0.0
    last = axes.x(records[0]["before"]["parameters"]) + 30
    for record in records:
        place = axes.x(record["after_recovery"]["parameters"])
        # names of stages that lie close together stand above each other
        lift = (lift + 15) % 45 if place - last < NAME_WIDTH else 0.0
        last = place
        _draw_stage(axes, record, figure, lift)
    start = records[0]["before"]
    axes.dots([start["parameters"]], [start[figure.key]], "dense", [_note("dense", start, figure)])
    axes.text(axes.x(start["parameters"]) + 8, axes.y(start[figure.key]) - 9, "dense", "name dense-text")
    return axes.svg()


def _draw_stage(axes: Axes, record: dict[str, Any], figure: StageFigure, lift: float) -> None:
    before, cut, recovered = record["before"], record["after_cut"], record["after_recovery"]
    points = (before, cut, recovered)
    xs, ys = [p["parameters"] for p in points], [p[figure.key] for p in points]
    name = words(record["stage"]) + ("" if record.get("accepted", True) else " (undone)")
    axes.line(xs[:2], ys[:2], "fall")
    axes.line(xs[1:], ys[1:], "rise")
    axes.dots(xs[1:2], ys[1:2], "hollow", [_note(f"{name}, cut", cut, figure)])
    axes.dots(xs[2:], ys[2:], "pruned", [_note(f"{name}, recovered", recovered, figure)])
    axes.text(axes.x(xs[2]), axes.y(ys[2]) - 10 - lift, name, "name pruned-text", anchor="middle")


def _note(name: str, point: dict[str, Any], figure: StageFigure) -> str:
    return f"{name}: {count(point['parameters'])} parameters, {figure.write(point[figure.key])}"
