"""Shares of classes, one bar a recording, as a picture that stands alone."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from secateur.report.figures.timeline import COLOURS, STYLE
from secateur.report.numbers import axis_percent

WIDTH, NAMES, BAR, STEP, TOP = 900.0, 330.0, 16.0, 24.0, 40.0
LONGEST_NAME = 46
MOST_ROWS = 300


def shares(
    rows: Sequence[tuple[str, Sequence[float] | None]], labels: Sequence[str], *, title: str
) -> Markup:
    """Draw a bar for each row, divided by its shares.

    Parameters
    ----------
    rows : sequence of (str, sequence of float or None)
        A name and shares that sum to one; None where there is nothing to show, which is said. More than
        ``MOST_ROWS`` are not drawn, which the title says.
    labels : sequence of str
        What each share is of.
    title : str

    Returns
    -------
    Markup
        An SVG document.
    """
    if len(rows) > MOST_ROWS:
        title = f"{title}, the first {MOST_ROWS} of {len(rows)}"
        rows = rows[:MOST_ROWS]
    width = WIDTH - NAMES - 28
    floor = TOP + STEP * len(rows)
    parts = [f'<text x="12" y="22">{escape(title)}</text>']
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = NAMES + tick * width
        parts.append(f'<path class="grid" d="M{x:.1f} {TOP:g}V{floor:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{floor + 16:.1f}" text-anchor="middle">'
            f"{axis_percent(tick)}</text>"
        )
    for number, (name, row) in enumerate(rows):
        parts.append(_bar(name, row, labels, TOP + STEP * number + (STEP - BAR) / 2, width))
    parts.append(_key(labels, floor + 30))
    height = floor + 46 + 18 * (-(-len(labels) // 5) - 1)
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" width="{WIDTH:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<rect class="paper" width="100%" height="100%"/>{"".join(parts)}</svg>\n'
    )


def _bar(name: str, row: Sequence[float] | None, labels: Sequence[str], y: float, width: float) -> str:
    shown = name if len(name) <= LONGEST_NAME else "..." + name[3 - LONGEST_NAME :]
    parts = [
        f'<text x="{NAMES - 8:g}" y="{y + 12:.1f}" text-anchor="end">{escape(shown)}</text>',
    ]
    if row is None:
        parts.append(f'<text class="tick" x="{NAMES + 4:g}" y="{y + 12:.1f}">no usable window</text>')
        return "".join(parts)
    x = NAMES
    for number, (label, share) in enumerate(zip(labels, row, strict=True)):
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{share * width:.2f}" height="{BAR:g}" '
            f'fill="{COLOURS[number % len(COLOURS)]}" fill-opacity=".85">'
            f"<title>{escape(label)}: {axis_percent(round(share, 3))}</title></rect>"
        )
        x += share * width
    return "".join(parts)


def _key(labels: Sequence[str], y: float) -> str:
    step = (WIDTH - 24) / 5
    parts = []
    for number, label in enumerate(labels):
        x, line = 12 + step * (number % 5), y + 18 * (number // 5)
        parts.append(
            f'<rect x="{x:.1f}" y="{line:.1f}" width="11" height="11" fill-opacity=".85" '
            f'fill="{COLOURS[number % len(COLOURS)]}"/><text x="{x + 16:.1f}" y="{line + 10:.1f}">'
            f"{escape(label.replace('_', ' '))}</text>"
        )
    return "".join(parts)
