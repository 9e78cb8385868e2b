"""Information about the class along the layers, dense and behind each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from secateur.report.figures.order_colours import MODELS

ESTIMATES = {
    "usable": ("usable information, share of H(Y), %", 100.0),
    "kernel": ("CKA with the class (unbiased HSIC, normalised)", 1.0),
}
WORDS = {
    "dense": "dense",
    "layers": "after layers",
    "groups": "after groups",
    "channels": "after channels (final)",
}

STYLES = {"dense": "o-", "after layers": "s--", "after groups": "^-.", "after channels (final)": "D:"}
"""Lines that lie on each other stay visible."""


def information_curves(result: Mapping[str, Any]) -> Figure | None:
    """Draw both estimates over the layers of the dense model.

    Thick lines are means over the seeds that keep a layer, thin lines single seeds.

    Returns
    -------
    Figure or None
        None if nothing was measured.
    """
    seeds = [seed["information"] for seed in result["seeds"] if seed["information"]]
    if not seeds:
        return None
    n_layers = len(seeds[0][0]["layers"])
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    for axes, (estimate, (label, scale)) in zip(figure.subplots(1, 2), ESTIMATES.items(), strict=True):
        for name, colour in MODELS.items():
            curves = [
                _points(model, estimate, scale, n_layers)
                for models in seeds
                for model in models
                if model["model"] == name
            ]
            if curves:
                _draw(axes, curves, colour, WORDS[name])
        axes.set_ylabel(label)
        axes.set_xticks(range(-1, n_layers + 1), ["input", *map(str, range(n_layers)), "head"])
        axes.set_xlabel("behind layer of the dense model")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, fontsize=9)
    broken = result["summary"]["violations"]
    figure.suptitle(
        "Information about the class along the layers. The data-processing inequality is no bound for either "
        f"estimate: it rises at {_count(broken['usable'])} and {_count(broken['kernel'])} steps beyond its "
        "interval",
        fontsize=10,
    )
    return figure


def _points(model: Mapping[str, Any], estimate: str, scale: float, n_layers: int) -> dict[int, float]:
    """Value by horizontal place: -1 is the input, ``n_layers`` the head."""
    ends = {"input": -1, "head": n_layers}
    field = "share" if estimate == "usable" else "cka"
    return {
        ends.get(place["place"], place["index"]): scale * place[estimate][field] for place in model["places"]
    }


def _draw(axes: Axes, curves: Sequence[Mapping[int, float]], colour: str, label: str) -> None:
    for curve in curves:
        if len(curves) > 1:
            axes.plot(list(curve), list(curve.values()), color=colour, alpha=0.25, linewidth=0.8)
    places = sorted({place for curve in curves for place in curve})
    means = [float(np.mean([curve[place] for curve in curves if place in curve])) for place in places]
    axes.plot(places, means, STYLES[label], color=colour, markersize=6, linewidth=1.8, label=label)


def _count(broken: Mapping[str, int]) -> str:
    return f"{broken['violations']} of {broken['steps']}"
