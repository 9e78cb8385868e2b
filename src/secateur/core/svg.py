"""Matplotlib figures as SVG."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_svg(figure: Figure, place: Path | BinaryIO, salt: str) -> None:
    """Write a figure as SVG; the same figure and salt give the same bytes.

    Letters stay text, which the reader's own fonts show: names are in any language, and the fonts of
    matplotlib are not.
    """
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # no glyph is drawn here
        figure.savefig(place, format="svg", metadata={"Date": None})
