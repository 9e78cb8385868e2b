"""Class probabilities over time: stacked shares, one colour a class, as a picture that stands alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from secateur.report.figures.axes import BOTTOM, LEFT, RIGHT, TOP, Axes, nice_ticks
from secateur.report.numbers import axis_number, axis_percent

COLOURS = (
    "#6f8f7a", "#c0452c", "#2d68c4", "#8a55b5", "#d08a1d",
    "#3a9aa8", "#b5577f", "#7a6a3a", "#5c6f94", "#a0a43c",
)  # fmt: skip
UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#63695f}"
    "text.tick{font-size:11px;fill:#7d837a}.grid{stroke:#e4e2d9;fill:none}.axis{stroke:#93988d;fill:none}"
    "rect.paper{fill:#fbfaf7}.gap{fill:#20251f;fill-opacity:.14}"
)
WIDTH, HEIGHT, LINE = 900.0, 320.0, 18.0


def timeline(edges_s: np.ndarray, probabilities: np.ndarray, labels: Sequence[str], *, title: str) -> Markup:
    """Draw what a model said over the length of a recording.

    Parameters
    ----------
    edges_s : ndarray, shape (bins + 1,)
        Times between the bins.
    probabilities : ndarray, shape (bins, classes)
        Mean probabilities of the windows in each bin; NaN where a bin has no usable window, which is shown
        as a grey gap.
    labels : sequence of str
        Class names.
    title : str
        Above the picture.

    Returns
    -------
    Markup
        An SVG document.
    """
    unit, unit_name = next((u, name) for u, name in UNITS if edges_s[-1] >= 2 * u or u == 1.0)
    rows = -(-len(labels) // 5)
    axes = Axes(
        x_limits=(float(edges_s[0]) / unit, float(edges_s[-1]) / unit),
        y_limits=(0.0, 1.0),
        title=title,
        width=WIDTH,
        height=HEIGHT,
    )
    axes.y_axis((0.0, 0.25, 0.5, 0.75, 1.0), title, axis_percent)
    axes.x_axis(nice_ticks(*axes.x_limits, about=8), f"{unit_name} from the start", axis_number)
    areas = _areas(axes, edges_s / unit, probabilities)
    gaps = _gaps(axes, edges_s / unit, probabilities)
    key = _key(labels)
    total = HEIGHT + LINE * rows + 14
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {total:g}" width="{WIDTH:g}" '
        f'height="{total:g}" role="img" aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<rect class="paper" width="100%" height="100%"/>{areas}{gaps}'
        f'<svg width="{WIDTH:g}" height="{HEIGHT:g}">{axes.svg()}</svg>{key}</svg>\n'
    )


def _areas(axes: Axes, edges: np.ndarray, probabilities: np.ndarray) -> str:
    upper = np.cumsum(np.nan_to_num(probabilities), axis=1)
    lower = upper - np.nan_to_num(probabilities)
    return "".join(
        f'<path fill="{COLOURS[number % len(COLOURS)]}" fill-opacity=".85" '
        f'd="{_band(axes, edges, lower[:, number], upper[:, number])}"/>'
        for number in range(probabilities.shape[1])
    )


def _band(axes: Axes, edges: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> str:
    """Path of the area between two step curves."""
    around = _steps(edges, upper) + _steps(edges, lower)[::-1]
    return "M" + "L".join(f"{axes.x(x):.1f} {axes.y(y):.1f}" for x, y in around) + "Z"


def _steps(edges: np.ndarray, values: np.ndarray) -> list[tuple[float, float]]:
    return [(x, float(y)) for pair, y in zip(_pairs(edges), values, strict=True) for x in pair]


def _pairs(edges: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _gaps(axes: Axes, edges: np.ndarray, probabilities: np.ndarray) -> str:
    height = HEIGHT - TOP - BOTTOM
    return "".join(
        f'<rect class="gap" x="{axes.x(left):.1f}" y="{TOP:g}" width="{axes.x(right) - axes.x(left):.2f}" '
        f'height="{height:g}"><title>no usable window</title></rect>'
        for (left, right), row in zip(_pairs(edges), probabilities, strict=True)
        if np.isnan(row).any()
    )


def _key(labels: Sequence[str]) -> str:
    width = (WIDTH - LEFT - RIGHT) / 5
    parts = []
    for number, label in enumerate(labels):
        x, y = LEFT + width * (number % 5), HEIGHT + 8 + LINE * (number // 5)
        colour = COLOURS[number % len(COLOURS)]
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="11" height="11" fill="{colour}" fill-opacity=".85"/>'
            f'<text x="{x + 16:.1f}" y="{y + 10:.1f}">{escape(label.replace("_", " "))}</text>'
        )
    return "".join(parts)
