"""Example windows: the waveform, and the envelope spectrum with the lines that a fault would draw."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from secateur.report.figures.axes import LEFT, RIGHT, Axes, nice_ticks
from secateur.signals.envelope import envelope_spectrum

SHOWN_S = 0.2
HARMONICS = 3
FAMILIES = {"BPFO": "outer", "BPFI": "inner", "2×BSF": "ball"}
"""Name of each fault order, in the order of the array, and the word in class names that points to it."""


def demodulation_band(sampling_rate_hz: float) -> tuple[float, float]:
    """Return the band whose envelope is shown: 15 to 45 % of the sampling rate."""
    return 0.15 * sampling_rate_hz, 0.45 * sampling_rate_hz


def waveform_picture(waveform: np.ndarray, sampling_rate_hz: float, name: str) -> Markup:
    """Draw the first part of a window as the span between least and greatest sample in every column.

    Parameters
    ----------
    waveform : ndarray, shape (samples,)
    sampling_rate_hz : float
    name : str
        Class, for the picture's title.
    """
    shown = np.asarray(waveform, dtype=np.float64)[: max(2, int(SHOWN_S * sampling_rate_hz))]
    span_s = len(shown) / sampling_rate_hz
    bound = float(np.abs(shown).max()) * 1.05 or 1.0
    axes = Axes(
        x_limits=(0.0, 1000 * span_s), y_limits=(-bound, bound), title=f"Waveform, {name}", height=198.0
    )
    axes.y_axis(nice_ticks(-bound, bound, 6), "acceleration in units of its RMS")
    columns = np.array_split(shown, min(len(shown), int(axes.width - LEFT - RIGHT)))
    edges = np.linspace(0.0, 1000 * span_s, len(columns) + 1)
    steps = "".join(
        f"M{axes.x(at):.1f} {axes.y(column.max()):.1f}V{axes.y(column.min()) + 0.6:.1f}"
        for at, column in zip(edges, columns, strict=False)
    )
    axes.path(steps, "wave")
    axes.x_axis(nice_ticks(0.0, 1000 * span_s, 5), "time in ms")
    return axes.svg()


def envelope_picture(
    waveform: np.ndarray, sampling_rate_hz: float, shaft_rate_hz: float, fault_orders: np.ndarray, name: str
) -> Markup:
    """Draw the envelope spectrum of a window with its fault lines.

    Parameters
    ----------
    waveform : ndarray, shape (samples,)
    sampling_rate_hz : float
    shaft_rate_hz : float
        0 if unknown; then no lines are drawn.
    fault_orders : ndarray, shape (4,)
        BPFO, BPFI, twice BSF and FTF over the shaft rate; zeros if unknown. FTF is not drawn.
    name : str
        Class; the family of lines that it names is drawn at full height.
    """
    frequency_hz, amplitude = envelope_spectrum(
        waveform, sampling_rate_hz, demodulation_band(sampling_rate_hz)
    )
    rates_hz = {
        family: float(order) * shaft_rate_hz
        for family, order in zip(FAMILIES, fault_orders, strict=False)
        if order * shaft_rate_hz > 0
    }
    top_hz = (HARMONICS + 0.3) * max(rates_hz.values()) if rates_hz else 500.0
    top_hz = min(top_hz, float(frequency_hz[-1]))
    shown = (frequency_hz > 0) & (frequency_hz <= top_hz)
    bound = 1.08 * float(amplitude[shown].max()) or 1.0
    axes = Axes(
        x_limits=(0.0, top_hz), y_limits=(0.0, bound), title=f"Envelope spectrum, {name}", height=198.0
    )
    axes.y_axis(nice_ticks(0.0, bound, 3), "envelope amplitude over its mean")
    _draw_lines(axes, rates_hz, top_hz, name)
    axes.line(frequency_hz[shown].tolist(), amplitude[shown].tolist(), "spectrum")
    axes.x_axis(nice_ticks(0.0, top_hz, 6), "frequency in Hz")
    return axes.svg()


def _draw_lines(axes: Axes, rates_hz: dict[str, float], top_hz: float, name: str) -> None:
    for family, rate_hz in rates_hz.items():
        word = FAMILIES[family]
        expected = word in name
        for harmonic in range(1, HARMONICS + 1):
            if harmonic * rate_hz > top_hz:
                break
            axes.vertical(harmonic * rate_hz, f"fault {word}", length=None if expected else 7.0)
            if expected:
                label = family if harmonic == 1 else f"{harmonic}×"
                axes.text(axes.x(harmonic * rate_hz), 30, label, f"fault-name {word}-text", anchor="middle")
