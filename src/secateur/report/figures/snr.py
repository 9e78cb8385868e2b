"""Accuracy against noise, dense beside pruned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from secateur.report.figures.axes import Axes, nice_ticks
from secateur.report.numbers import axis_percent, percent, signed


def snr_curve(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Markup | None:
    """Draw accuracy over the signal-to-noise ratio.

    Parameters
    ----------
    curves : mapping
        ``dense`` and ``pruned`` (either may be empty or missing) to points with ``snr_db`` and ``accuracy``.

    Returns
    -------
    Markup or None
        None if no curve has a point.
    """
    present = {
        name: sorted(curve, key=lambda point: point["snr_db"]) for name, curve in curves.items() if curve
    }
    if not present:
        return None
    levels = sorted({point["snr_db"] for curve in present.values() for point in curve})
    shares = [point["accuracy"] for curve in present.values() for point in curve]
    margin = max(0.02, 0.08 * (max(shares) - min(shares)))
    pad = 0.04 * (levels[-1] - levels[0]) or 1.0
    axes = Axes(
        x_limits=(levels[0] - pad, levels[-1] + pad),
        y_limits=(max(0.0, min(shares) - margin), min(1.0, max(shares)) + margin),
        title="Test accuracy against signal-to-noise ratio, dense and pruned",
    )
    low, high = axes.y_limits
    axes.y_axis(nice_ticks(low, min(high, 1.0)), "accuracy on test windows", axis_percent)
    axes.x_axis(levels, "signal-to-noise ratio in dB, quieter to the right", lambda v: signed(v, "g"))
    for name, curve in present.items():
        xs, ys = [point["snr_db"] for point in curve], [point["accuracy"] for point in curve]
        axes.line(xs, ys, name)
        notes = [f"{name} at {signed(x, 'g')} dB: {percent(y)}" for x, y in zip(xs, ys, strict=True)]
        axes.dots(xs, ys, name, notes)
    return axes.svg()
