"""Staleness: how far a stage changes the order of the units that a later stage will choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from secateur.core.errors import PlanError
from secateur.core.seeds import generator
from secateur.scoring.scores import Scores
from secateur.sia.measured.estimators import spearman
from secateur.structure.plan import PruningPlan
from secateur.structure.units import Unit

Granularity = Literal["layer", "group", "channel"]
GRANULARITIES: tuple[Granularity, ...] = ("layer", "group", "channel")
FEWEST_UNITS = 3
"""With two units a rank correlation is -1 or 1."""
CONFIDENCE = 0.95

UnitScores = Mapping[Unit, float]
"""Score of every unit, named by its place in the dense model."""


@dataclass(frozen=True, kw_only=True)
class Halves:
    """Scores of one model on two disjoint halves of the calibration samples.

    Parameters
    ----------
    whole : mapping of Unit to float
        On all calibration samples.
    first, second : mapping of Unit to float
        On either half.
    """

    whole: UnitScores
    first: UnitScores
    second: UnitScores


@dataclass(frozen=True, kw_only=True)
class Staleness:
    """``1 - Spearman(scores before, scores after)`` over the units that are there before and after.

    Parameters
    ----------
    value : float or None
        On all calibration samples, the same before and after; None if fewer than three units are left, or all
        of them score alike.
    interval : (float, float) or None
        95 % interval from bootstrap draws of units.
    noise : float or None
        What calibration noise alone gives: ``1 - Spearman`` of two disjoint halves of the calibration
        samples, mean of before and after.
    beyond_noise : float or None
        ``1 - rho / sqrt(rho_before rho_after)`` where ``rho`` compares the halves crosswise (before on one,
        after on the other) and ``rho_before``, ``rho_after`` compare the halves of one model: staleness
        freed of calibration noise (Spearman 1904). Not below 0; None where noise hides the order.
    units : int
        Units compared.
    """

    value: float | None
    interval: tuple[float, float] | None
    noise: float | None
    beyond_noise: float | None
    units: int


def width_scores(scores: Scores, plan: PruningPlan, granularity: Granularity) -> dict[Unit, float]:
    """Name the scores of a cut model's groups or channels by their place in the dense model.

    Parameters
    ----------
    scores : Scores
        Of the model that ``plan`` leaves.
    plan : PruningPlan
        From the dense model to the scored one.
    granularity : {"group", "channel"}

    Raises
    ------
    PlanError
        If the scores are not of the model that the plan leaves.
    """
    if granularity == "layer":
        raise PlanError("layers are not among these scores; use layer_scores on their removal losses.")
    named = {}
    arrays = scores.groups if granularity == "group" else scores.channels
    kept = [layer.groups if granularity == "group" else layer.channels for layer in plan.layers]
    if [len(array) for array in arrays] != [len(members) for members in kept]:
        raise PlanError(
            f"scores of {[len(array) for array in arrays]} {granularity}s a layer do not fit a plan that "
            f"keeps {[len(members) for members in kept]}; score the model that the plan leaves."
        )
    for layer, members, array in zip(plan.layers, kept, arrays, strict=True):
        for member, score in zip(members, array, strict=True):
            named[Unit(kind=granularity, layer=layer.index, index=member)] = float(score)
    return named


def layer_scores(increases: Sequence[float], plan: PruningPlan) -> dict[Unit, float]:
    """Name the removal losses of a cut model's layers by their place in the dense model.

    Raises
    ------
    PlanError
        If there are not as many as layers that the plan keeps.
    """
    if len(increases) != len(plan.layers):
        raise PlanError(f"{len(increases)} layer scores for a plan that keeps {len(plan.layers)} layers.")
    return {
        Unit(kind="layer", layer=layer.index): float(increase)
        for layer, increase in zip(plan.layers, increases, strict=True)
    }


def staleness(before: Halves, after: Halves, *, draws: int = 1000, seed: int = 0) -> Staleness:
    """Compare the order of the units before a stage with that after it and its recovery.

    Parameters
    ----------
    before, after : Halves
        Units of one granularity, named by their place in the dense model. Those missing from ``after`` were
        removed and do not count.
    draws : int
        Bootstrap draws of units.
    seed : int
        Of the draws.

    Raises
    ------
    PlanError
        If a unit is there after the stage that was not there before it.
    """
    common = sorted(after.whole)
    if strangers := [unit for unit in common if unit not in before.whole]:
        raise PlanError(f"{strangers[0]} is scored after the stage but not before it; give one dense model.")
    if len(common) < FEWEST_UNITS:
        return Staleness(value=None, interval=None, noise=None, beyond_noise=None, units=len(common))

    def over(scores: UnitScores) -> np.ndarray:
        return np.array([scores[unit] for unit in common])

    first, second = over(before.whole), over(after.whole)
    rho = _rank_correlation(first, second)
    rho_before = _rank_correlation(over(before.first), over(before.second))
    rho_after = _rank_correlation(over(after.first), over(after.second))
    crosswise = (
        _rank_correlation(over(before.first), over(after.second)),
        _rank_correlation(over(before.second), over(after.first)),
    )
    known = None if rho_before is None or rho_after is None else (rho_before, rho_after)
    return Staleness(
        value=None if rho is None else 1 - rho,
        interval=None if rho is None else _interval(first, second, draws, seed),
        noise=None if known is None else 1 - sum(known) / 2,
        beyond_noise=_beyond_noise(crosswise, known),
        units=len(common),
    )


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Return Spearman's rank correlation of two series; None where one is constant."""
    (rho,) = spearman(first[:, None], second[:, None])
    return None if np.isnan(rho) else float(rho)


def _beyond_noise(
    crosswise: tuple[float | None, float | None], known: tuple[float, float] | None
) -> float | None:
    one, other = crosswise
    if known is None or one is None or other is None or min(known) <= 0:
        return None
    return max(0.0, 1 - (one + other) / 2 / float(np.sqrt(known[0] * known[1])))


def _interval(first: np.ndarray, second: np.ndarray, draws: int, seed: int) -> tuple[float, float]:
    chosen = generator(seed, "staleness").integers(0, len(first), (draws, len(first))).T
    found = 1 - spearman(first[chosen], second[chosen])
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(found, [tail, 1 - tail])
    return float(low), float(high)
