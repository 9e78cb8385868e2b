"""Pictures of the independence check: interaction, additivity, rank stability, and what removal costs.

Drawn with matplotlib from the JSON of a check. Colours are those of the style sheet of the page. A picture
that stands alone keeps them; one inside the page follows light and dark.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from secateur.sia.figures import JUDGED_IN

INK, SOFT, RULE = "#20251f", "#63695f", "#e4e2d9"
GREEN, BLUE, RED, VIOLET = "#2c7d4d", "#5c6f94", "#c0452c", "#8a55b5"
ON_DARK = {
    INK: "#e4e7e0", SOFT: "#a3aaa0", RULE: "#2c322d", GREEN: "#6cc08d", BLUE: "#93a7d1", RED: "#ef8670",
    VIOLET: "#c49be8",
}  # fmt: skip
"""What the page's style sheet puts in the place of these colours on dark paper."""

COMPONENTS = {
    "layer": ("layers", BLUE, "s"),
    "group": ("heads or KV groups", GREEN, "o"),
    "head": ("single query heads", VIOLET, "D"),
    "channel": ("channels", RED, "^"),
    "matrix": ("rows of one matrix", RED, "v"),
}
"""Name, colour and mark of each component."""

TITLES = {
    "interactions": "Interaction of two removals, layer by layer",
    "additivity": "Additivity gap over growing subsets",
    "stability": "Rank stability beside its noise ceiling",
    "removal": "What removal costs, without recovery",
}
PIXELS_PER_INCH = 96
WRITTEN_UP_TO = 8
"""Layers of a heat map whose cells carry their numbers."""

DIVERGING = LinearSegmentedColormap.from_list("interaction", ("#5b6e93", "#fbfaf7", "#bf442b"))
"""Of its own, so that cells keep their colour on dark paper."""

STYLE = {
    "font.size": 9.5, "svg.fonttype": "none", "svg.hashsalt": "secateur", "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT, "xtick.color": SOFT, "ytick.color": SOFT, "text.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 10,
}  # fmt: skip


def sia_figures(check: Mapping[str, Any]) -> dict[str, Figure]:
    """Draw what was measured.

    Parameters
    ----------
    check : mapping
        The JSON of a check: ``measured``, ``verdict``.

    Returns
    -------
    dict of str to Figure
        By the names of :data:`TITLES`; pictures whose figures were not measured are left out.
    """
    measured = check.get("measured")
    if not measured:
        return {}
    verdict = check.get("verdict") or {}
    limits = (verdict.get("thresholds") or {}).get("limits") or {}
    with rc_context(STYLE):
        drawn = {
            "interactions": _interactions(measured),
            "additivity": _additivity(measured, (limits.get("additivity_gap") or {}).get("value")),
            "stability": _stability(measured),
            "removal": _removal(measured, verdict),
        }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def svg_of(figure: Figure, title: str) -> str:
    """Return a picture as an SVG document that stands alone."""
    buffer = io.StringIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    return buffer.getvalue()


def png_of(figure: Figure) -> bytes:
    """Return a picture as PNG on white."""
    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="png", dpi=150, facecolor="white")
    return buffer.getvalue()


def inline(figure: Figure, title: str) -> Markup:
    """Return a picture for the page: an image that holds its own data and follows light and dark."""
    document = svg_of(figure, title)
    light, dark = [], []
    for number, (colour, on_dark) in enumerate(ON_DARK.items()):
        document = document.replace(f": {colour}", f": var(--c{number})")
        light.append(f"--c{number}:{colour}")
        dark.append(f"--c{number}:{on_dark}")
    style = (
        f"<style>:root{{{';'.join(light)}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{';'.join(dark)}}}}}</style>"
    )
    head = document.index(">", document.index("<svg")) + 1
    data = base64.b64encode((document[:head] + style + document[head:]).encode()).decode()
    width, height = (round(PIXELS_PER_INCH * inches) for inches in figure.get_size_inches())
    return Markup(
        f'<img alt="{escape(title)}" width="{width}" height="{height}" '
        f'src="data:image/svg+xml;base64,{data}">'
    )


def _bare(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0.0)
    panels = figure.subplots(1, columns, squeeze=False)[0]
    for axes in panels:
        axes.patch.set_alpha(0.0)
    return figure, list(panels)


def _interactions(measured: Mapping[str, Any]) -> Figure | None:
    maps = [
        entry
        for entry in measured["interaction_maps"]
        if entry["objective"] == JUDGED_IN and np.isfinite(_matrix(entry["signed"])).any()
    ]
    if not maps:
        return None
    largest = max(float(np.nanmax(np.abs(_matrix(entry["signed"])))) for entry in maps)
    scale = max(largest, 1e-3)
    figure, panels = _bare(3.3 * len(maps) + 0.9, 3.5, len(maps))
    for axes, entry in zip(panels, maps, strict=True):
        cells = _matrix(entry["signed"])
        mesh = axes.pcolormesh(
            np.ma.masked_invalid(cells), cmap=DIVERGING, vmin=-scale, vmax=scale, edgecolor="none"
        )
        axes.set_facecolor(RULE)
        axes.patch.set_alpha(1.0)
        axes.set_aspect("equal")
        axes.invert_yaxis()
        axes.set_title(_name(entry["component"]))
        axes.set_xlabel("layer")
        _layer_ticks(axes, len(cells))
        if len(cells) <= WRITTEN_UP_TO:
            _write_cells(axes, cells, scale)
    panels[0].set_ylabel("layer")
    bar = figure.colorbar(mesh, ax=panels, shrink=0.75, aspect=14)
    bar.outline.set_visible(False)
    bar.set_label("joint loss over the sum of both:\nblue less, red more (stand-ins)")
    return figure


def _layer_ticks(axes: Axes, layers: int) -> None:
    step = max(1, -(-layers // 8))
    places = np.arange(0, layers, step)
    axes.set_xticks(places + 0.5, [str(place) for place in places])
    axes.set_yticks(places + 0.5, [str(place) for place in places])
    axes.tick_params(length=0)


def _write_cells(axes: Axes, cells: np.ndarray, scale: float) -> None:
    for (row, column), value in np.ndenumerate(cells):
        if np.isfinite(value):
            colour = "white" if abs(value) > 0.6 * scale else "#20251e"
            axes.text(
                column + 0.5, row + 0.5, f"{value:z.2f}", ha="center", va="center", size=7.5, color=colour
            )


def _additivity(measured: Mapping[str, Any], limit: float | None) -> Figure | None:
    curves = [
        entry for entry in measured["additivity"] if entry["objective"] == JUDGED_IN and _known(entry, "gap")
    ]
    if not curves:
        return None
    figure, (axes,) = _bare(5.4, 3.4)
    for entry in curves:
        name, colour, mark = COMPONENTS[entry["component"]]
        points = _known(entry, "gap")
        _errorbar(
            axes,
            [point["fraction"] for point in points],
            [point["gap"] for point in points],
            colour,
            mark,
            name,
        )
    if limit is not None:
        axes.axhline(limit, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.annotate("limit", (0.995, limit), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                      color=SOFT, size=8.5)  # fmt: skip
    axes.set_xlabel("share of the units removed together")
    axes.set_ylabel("additivity gap (0: losses add up)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_ylim(bottom=0.0)
    _legend(axes)
    return figure


def _stability(measured: Mapping[str, Any]) -> Figure | None:
    entries = [entry for entry in measured["rank_stability"] if entry["value"]["value"] is not None]
    if not entries:
        return None
    figure, (axes,) = _bare(5.8, 1.15 + 0.34 * len(entries))
    for row, entry in enumerate(entries):
        _, colour, mark = COMPONENTS[entry["component"]]
        halves, ceiling = entry["across_halves"], entry["noise_ceiling"]
        if ceiling["value"] is not None:
            axes.fill_betweenx(
                [row - 0.3, row + 0.3], ceiling["low"], ceiling["high"], color=RULE, linewidth=0
            )
            axes.plot([ceiling["value"]] * 2, [row - 0.3, row + 0.3], color=SOFT, linewidth=1.4)
        shown = entry["value"] if halves["value"] is None else halves
        axes.plot([shown["low"], shown["high"]], [row, row], color=colour, linewidth=1.6)
        axes.plot(shown["value"], row, mark, color=colour, markersize=6)
    names = [f"{_name(entry['component'])}, {entry['criterion']}" for entry in entries]
    axes.set_yticks(range(len(entries)), names)
    axes.invert_yaxis()
    left = min(axes.get_xlim()[0], 0.9)
    axes.set_xlim(left=left, right=1.0 + 0.05 * (1.0 - left))
    axes.set_xticks([tick for tick in axes.get_xticks() if left <= tick <= 1.0 + 1e-9])
    gone = entries[0]["removed_fraction"]
    figure.supxlabel(
        f"rank correlation of scores before and after {100 * gone:.0f} % of the others go,\n"
        "between halves of the samples; grey: the same with nothing removed",
        size=9.0,
        color=SOFT,
    )
    axes.tick_params(axis="y", length=0)
    return figure


def _removal(measured: Mapping[str, Any], verdict: Mapping[str, Any]) -> Figure | None:
    curves = [entry for entry in _shown_curves(measured, verdict) if _known(entry, "score")]
    if not curves:
        return None
    figure, (axes,) = _bare(5.8, 3.6)
    for entry in curves:
        name, colour, mark = COMPONENTS[entry["component"]]
        points = _known(entry, "score")
        closed = entry["treatment"] == "closed"
        label = name if closed else f"{name}, chosen apart"
        level = {"value": entry["dense_score"], "low": entry["dense_score"], "high": entry["dense_score"]}
        _errorbar(
            axes,
            [0.0, *(point["fraction"] for point in points)],
            [level, *(point["score"] for point in points)],
            colour,
            mark,
            label,
            dashed=not closed,
        )
    share = verdict.get("share")
    if share is not None:
        axes.axvline(share, color=SOFT, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.annotate(f" {verdict['ratio']:g}x", (share, 1.0), xycoords=("data", "axes fraction"), va="top",
                      color=SOFT, size=8.5)  # fmt: skip
    axes.set_xlabel("share of the units removed, the least important first")
    axes.set_ylabel({"accuracy": "accuracy", "perplexity_ratio": "perplexity over dense",
                     "cosine": "cosine to the dense embedding"}[curves[0]["score_name"]])  # fmt: skip
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    if curves[0]["score_name"] == "accuracy":
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    elif curves[0]["score_name"] == "perplexity_ratio":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    _legend(axes)
    return figure


def _shown_curves(measured: Mapping[str, Any], verdict: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """One curve for each component and treatment: of the recommended criterion where it was measured."""
    wanted = {entry["units"]: entry["criterion"] for entry in verdict.get("granularities") or ()}
    wanted |= {entry["definition"]: entry["criterion"] for entry in verdict.get("granularities") or ()}
    chosen: dict[tuple[str, str], Mapping[str, Any]] = {}
    for entry in measured["removal_loss"]:
        key = (entry["component"], entry["treatment"])
        if key not in chosen or entry["criterion"] == wanted.get(entry["component"]):
            chosen[key] = entry
    return list(chosen.values())


def _legend(axes: Axes) -> None:
    """Above the picture, where no line runs."""
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2)


def _errorbar(
    axes: Axes,
    xs: Sequence[float],
    estimates: Sequence[Mapping[str, float]],
    colour: str,
    mark: str,
    label: str,
    *,
    dashed: bool = False,
) -> None:
    ys = np.array([entry["value"] for entry in estimates])
    low = np.array([entry["low"] for entry in estimates], dtype=float)
    high = np.array([entry["high"] for entry in estimates], dtype=float)
    around = np.clip(np.stack([ys - low, high - ys]), 0.0, None)
    axes.errorbar(
        xs,
        ys,
        yerr=around,
        color=colour,
        marker=mark,
        markersize=5,
        linewidth=1.6,
        elinewidth=1.0,
        capsize=2,
        linestyle=(0, (4, 2)) if dashed else "-",
        markerfacecolor="none" if dashed else colour,
        label=label,
    )


def _known(entry: Mapping[str, Any], figure: str) -> list[Mapping[str, Any]]:
    return [point for point in entry["points"] if point[figure]["value"] is not None]


def _matrix(rows: Sequence[Sequence[float | None]]) -> np.ndarray:
    return np.array([[np.nan if cell is None else cell for cell in row] for row in rows], dtype=float)


def _name(component: str) -> str:
    return COMPONENTS[component][0]
