"""Pictures of a comparison of orders, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from secateur.core.files import write_aside
from secateur.report.figures.information_curves import information_curves
from secateur.report.figures.order_comparison import order_comparison
from secateur.report.figures.order_staleness import staleness_matrices

PICTURES: dict[str, Callable[[Mapping[str, Any]], Figure | None]] = {
    "orders": order_comparison,
    "staleness": staleness_matrices,
    "information": information_curves,
}
DPI = 130


def write_order_pictures(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw what a comparison of orders found.

    Parameters
    ----------
    result : mapping
        Content of the ``result.json`` of ``secateur order``.
    folder : Path
        Gets ``orders``, ``staleness`` and ``information``, each as ``.png`` and ``.svg``. A picture without
        anything to show is left out.

    Returns
    -------
    list of Path
        What was written.
    """
    written = []
    for name, draw in PICTURES.items():
        figure = draw(result)
        if figure is None:
            continue
        for ending in ("png", "svg"):
            path = folder / f"{name}.{ending}"
            # without a date and with fixed identifiers the same result gives the same file
            with write_aside(path) as aside, matplotlib.rc_context({"svg.hashsalt": name}):
                figure.savefig(
                    aside, format=ending, dpi=DPI, metadata={"Date": None} if ending == "svg" else None
                )
            written.append(path)
    return written
