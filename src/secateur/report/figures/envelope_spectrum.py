"""The envelope spectrum of a recording with the fault lines of its bearing, as a picture of its own."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup, escape

from secateur.report.figures.axes import LEFT, RIGHT, TOP, Axes, nice_ticks
from secateur.report.figures.timeline import COLOURS, STYLE
from secateur.signals.evidence import Evidence
from secateur.signals.lines import HARMONICS

FAMILIES = {
    "bpfo": ("outer race (BPFO)", COLOURS[2]),
    "bpfi": ("inner race (BPFI)", COLOURS[1]),
    "bsf2": ("ball (2 × BSF)", COLOURS[3]),
    "ftf": ("cage (FTF)", COLOURS[4]),
    "shaft": ("shaft", COLOURS[5]),
}
"""Name and colour of each family; classes have the same colours in the other pictures."""

WIDTH, HEIGHT, KEY = 900.0, 300.0, 26.0
LEAST_TOP_DB = 12.0
STRAY_COLOUR = "#7a7f78"


def envelope_spectrum(evidence: Evidence, *, title: str) -> Markup:
    """Draw the envelope spectrum over its local median, with four harmonics of each family of lines.

    Strong lines that neither shaft nor bearing explains are marked as well.

    Parameters
    ----------
    evidence : Evidence
    title : str
        Read out, and written above.

    Returns
    -------
    Markup
        An SVG document.
    """
    frequency, level = _peaks_of_columns(evidence.frequency_hz, evidence.level_db)
    top = max(LEAST_TOP_DB, float(level.max()) * 1.05)
    axes = Axes(
        x_limits=(0.0, float(evidence.frequency_hz[-1])),
        y_limits=(0.0, top),
        title=title,
        width=WIDTH,
        height=HEIGHT,
    )
    axes.y_axis(nice_ticks(0.0, top), f"dB over the local median, {title}")
    axes.x_axis(nice_ticks(*axes.x_limits, about=10), "frequency of the envelope in Hz")
    spectrum = "L".join(
        f"{axes.x(x):.1f} {axes.y(max(y, 0.0)):.1f}" for x, y in zip(frequency, level, strict=True)
    )
    return Markup(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT + KEY:g}" '
        f'width="{WIDTH:g}" height="{HEIGHT + KEY:g}" role="img" aria-label="{escape(title)}">'
        f'<style>{STYLE}</style><rect class="paper" width="100%" height="100%"/>'
        f"{_lines(axes, evidence)}"
        f'<path d="M{spectrum}" fill="none" stroke="#20251f" stroke-width="1"/>'
        f'<svg width="{WIDTH:g}" height="{HEIGHT:g}">{axes.svg()}</svg>{_key(evidence)}</svg>\n'
    )


def _peaks_of_columns(frequency: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the highest point of each column of the drawing, so that no line is lost."""
    columns = np.array_split(np.arange(len(level)), min(len(level), int(WIDTH - LEFT - RIGHT)))
    highest = np.array([column[level[column].argmax()] for column in columns])
    return frequency[highest], level[highest]


def _shown(evidence: Evidence) -> list[tuple[str, float, float, str]]:
    """Return name, rate, strength and colour of what is marked: all families, and unexplained lines."""
    shown = []
    for line in evidence.lines:
        name, colour = FAMILIES[line.family]
        shown.append((name, line.rate_hz, line.strength_db, colour))
    if (stray := evidence.stray) is not None:
        shown.append(("unexplained", stray.rate_hz, stray.strength_db, STRAY_COLOUR))
    return shown


def _lines(axes: Axes, evidence: Evidence) -> str:
    parts = []
    for name, rate_hz, _, colour in _shown(evidence):
        for harmonic in range(1, HARMONICS + 1):
            rate = harmonic * rate_hz
            if rate <= axes.x_limits[1]:
                note = f"{name} × {harmonic}: {rate:.1f} Hz"
                parts.append(
                    f'<path d="M{axes.x(rate):.1f} {TOP:g}V{axes.y(0.0):.1f}" stroke-width="1.6" '
                    f'stroke="{colour}" stroke-opacity="{0.9 / harmonic**0.5:.2f}" '
                    f'stroke-dasharray="{6 - harmonic} 3"><title>{escape(note)}</title></path>'
                )
    return "".join(parts)


def _key(evidence: Evidence) -> str:
    entries = [(f"{name} {db:z.0f} dB", colour) for name, _, db, colour in _shown(evidence)]
    widths = np.array([len(text) + 4.0 for text, _ in entries])
    places = LEFT + (WIDTH - LEFT - RIGHT) * np.concatenate([[0.0], np.cumsum(widths / widths.sum())[:-1]])
    return "".join(
        f'<rect x="{x:.1f}" y="{HEIGHT + 6:.1f}" width="11" height="11" fill="{colour}"/>'
        f'<text x="{x + 16:.1f}" y="{HEIGHT + 16:.1f}">{escape(text)}</text>'
        for x, (text, colour) in zip(places, entries, strict=True)
    )
