"""Pictures of a comparison of orders, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from secateur.core.files import write_aside
from secateur.core.svg import save_svg
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
        paths = [folder / f"{name}.{ending}" for ending in ("png", "svg")]
        with write_aside(paths[0]) as aside:
            figure.savefig(aside, format="png", dpi=DPI)
        with write_aside(paths[1]) as aside:
            save_svg(figure, aside, name)
        written += paths
    return written
