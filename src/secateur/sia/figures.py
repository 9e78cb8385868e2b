"""The figures that a verdict rests on, read off the measured part.

All are taken in the distance to the dense model's answers, also where there is a task loss. What one removal
adds to the loss of the labels is that distance plus a term of either sign, whose mean is 0 where the model is
calibrated, and whose noise on a small sample is larger than the cost of a small unit (``docs/method.md``).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import t

from secateur.sia.components import Component
from secateur.sia.measured.bootstrap import LEVEL, TAIL
from secateur.sia.measured.measurement import Estimate, GapPoint, Measured, Objective
from secateur.sia.prediction import curve_of, interpolated
from secateur.sia.thresholds import Figure

JUDGED_IN: Objective = "divergence"

OVER_SETS: tuple[Figure, ...] = ("additivity_gap", "cost_over_lot")
"""Figures that are taken over random sets of units, of which there may be too few."""


def figures_of(
    measured: Measured,
    component: Component,
    criterion: str | None,
    *,
    at_fraction: float,
    share: float | None,
    ranked: bool,
) -> dict[Figure, Estimate]:
    """Return the figures of a component that were measured.

    Parameters
    ----------
    measured : Measured
    component : Component
        Closed units.
    criterion : str or None
        By which they are to be chosen.
    at_fraction : float
        Share of the units that the largest subset whose additivity counts may have.
    share : float or None
        Of the units that the asked ratio takes away; a lot is drawn as large, where that is more.
    ranked : bool
        Whether there are units enough for rank correlations.
    """
    figures: dict[Figure, Estimate | None] = {
        "additivity_gap": _gap(measured, component, at_fraction),
        "interaction": _interaction(measured, component),
        "rank_stability": _stability(measured, component, criterion) if ranked else None,
        "fidelity": _fidelity(measured, component, criterion) if ranked else None,
        "cost_over_lot": cost_over_lot(measured, component, criterion, max(at_fraction, share or 0.0)),
    }
    return {
        name: value for name, value in figures.items() if value is not None and not math.isnan(value.value)
    }


def subset_point(measured: Measured, component: Component, at_fraction: float) -> GapPoint | None:
    """Return the largest measured subset up to a fraction; the smallest where all are larger."""
    known = [
        point
        for curve in measured.additivity
        if curve.component == component and curve.objective == JUDGED_IN
        for point in curve.points
        if not math.isnan(point.gap.value)
    ]
    small = [point for point in known if point.fraction <= at_fraction]
    return small[-1] if small else next(iter(known), None)


def cost_over_lot(
    measured: Measured, component: Component, criterion: str | None, at_fraction: float
) -> Estimate | None:
    """Return what removing the least units by score costs over what random units cost, equally many.

    The random ones are the subsets of the additivity curve; the scored cost is read off the removal curve at
    their share. The intervals are taken as those of independent errors, which is cautious: both costs are
    measured on the same samples. That of the random sets is that of a mean of few (:func:`of_few`). Subsets
    have at most half of the units: for a larger share the figure is that of one half.

    Returns
    -------
    Estimate or None
        None where the curve of the criterion or the subsets were not measured, or random units cost nothing.
        Without an interval where there is one subset only.
    """
    point = subset_point(measured, component, at_fraction)
    curve = curve_of(measured, component, treatment="closed", criterion=criterion)
    if point is None or curve is None or curve.criterion != criterion or not point.joint.value > 0:
        return None
    scored = interpolated(point.fraction, [(entry.fraction, entry.divergence) for entry in curve.points], 0.0)
    lot, ratio = of_few(point.joint, point.n_subsets), scored.value / point.joint.value
    return Estimate(
        value=ratio,
        low=ratio - float(np.hypot(scored.value - scored.low, ratio * (lot.high - lot.value))) / lot.value,
        high=ratio + float(np.hypot(scored.high - scored.value, ratio * (lot.value - lot.low))) / lot.value,
    )


def of_few(mean: Estimate, n: int) -> Estimate:
    """Widen the bootstrap interval of a mean to that of Student's t.

    Percentiles of resampled means take the spread of ``n`` numbers without ``n - 1`` and for a normal one: of
    six they cover the mean in 87 % of the cases.

    Parameters
    ----------
    mean : Estimate
    n : int
        Numbers that it is the mean of; one alone has no interval.
    """
    if n < 2:
        return Estimate(value=mean.value, low=math.nan, high=math.nan)
    factor = float(t.ppf(0.5 + LEVEL / 2, n - 1)) / TAIL * math.sqrt(n / (n - 1))
    return Estimate(
        value=mean.value,
        low=mean.value - factor * (mean.value - mean.low),
        high=mean.value + factor * (mean.high - mean.value),
    )


def sets_of(
    measured: Measured, component: Component, figure: Figure, *, at_fraction: float, share: float | None
) -> int | None:
    """Return over how many random sets a figure was taken; None for one that is not taken over sets."""
    if figure not in OVER_SETS:
        return None
    largest = max(at_fraction, share or 0.0) if figure == "cost_over_lot" else at_fraction
    point = subset_point(measured, component, largest)
    return 0 if point is None else point.n_subsets


def _gap(measured: Measured, component: Component, at_fraction: float) -> Estimate | None:
    point = subset_point(measured, component, at_fraction)
    return None if point is None else point.gap


def _interaction(measured: Measured, component: Component) -> Estimate | None:
    place = "across" if component == "layer" else "within"
    for entry in measured.interactions:
        if (entry.component, entry.objective, entry.place) == (component, JUDGED_IN, place):
            return entry.normalised
    return None


def _stability(measured: Measured, component: Component, criterion: str | None) -> Estimate | None:
    """As a part of the noise ceiling, where there is one."""
    for entry in measured.rank_stability:
        if (entry.component, entry.criterion) == (component, criterion):
            ceiling = entry.noise_ceiling.value
            if math.isnan(ceiling) or ceiling <= 0:
                return entry.value
            halves = entry.across_halves
            return Estimate(
                value=halves.value / ceiling, low=halves.low / ceiling, high=halves.high / ceiling
            )
    return None


def _fidelity(measured: Measured, component: Component, criterion: str | None) -> Estimate | None:
    for entry in measured.fidelity:
        if (entry.component, entry.criterion, entry.objective) == (
            component,
            criterion,
            JUDGED_IN,
        ):
            return entry.value
    return None
