"""What a cut to a ratio will cost before any recovery, read off the measured removal curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secateur.sia.components import Component
from secateur.sia.measured.measurement import Estimate, Measured, RemovalCurve, Treatment
from secateur.structure.counting import block_parameters, shape_parameters
from secateur.structure.shape import ModelShape
from secateur.tasks.names import ScoreName


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Cost of removing a share of the units, without recovery.

    Attributes
    ----------
    fraction : float
        Share of the units removed.
    loss : Estimate
        Increase in task loss in nats; NaN for a model without a task.
    divergence : Estimate
        Distance to the dense model's answers.
    score_name : {"accuracy", "perplexity_ratio", "cosine"}
    dense_score : float
    score_change : Estimate
        Against the dense model; for accuracy as a part of 1, negative for a loss.
    criterion : str
        By which the units are chosen.
    beyond : bool
        Whether the share lies beyond the last measured point, whose figures then stand: the cost is at least
        theirs.
    """

    fraction: float
    loss: Estimate
    divergence: Estimate
    score_name: ScoreName
    dense_score: float
    score_change: Estimate
    criterion: str
    beyond: bool


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Measured cost of a cut to a ratio, without recovery.

    Attributes
    ----------
    closed : Prediction
        Of closed units.
    apart : Prediction or None
        Where every matrix chooses by itself; None where that is the same, or cannot be carried out.
    """

    closed: Prediction
    apart: Prediction | None


def removed_share(family: str, shape: ModelShape, ratio: float) -> float | None:
    """Return which part of the blocks' parameters a ratio takes away.

    Parameters
    ----------
    family : str
        Name of the specification.
    shape : ModelShape
        The dense model.
    ratio : float
        Dense over remaining parameters of the whole model, at least 1.

    Returns
    -------
    float or None
        In 0..1; None where all blocks together do not suffice.
    """
    whole = shape_parameters(family, shape)
    share = whole * (1 - 1 / ratio) / block_parameters(family, shape)
    return share if share < 1 else None


def curve_of(
    measured: Measured, component: Component, *, treatment: Treatment, criterion: str | None
) -> RemovalCurve | None:
    """Return the removal curve of a component, None where it was not measured.

    Without a criterion, or where that one was not measured, the curve that costs least over all its points.
    """
    curves = [
        curve
        for curve in measured.removal_loss
        if curve.component == component and curve.treatment == treatment and curve.points
    ]
    named = [curve for curve in curves if curve.criterion == criterion]
    return min(named or curves, key=_cost, default=None)


def _cost(curve: RemovalCurve) -> float:
    return float(np.mean([point.divergence.value for point in curve.points]))


def predict(curve: RemovalCurve, fraction: float, *, n_samples: int) -> Prediction:
    """Read the cost of removing a share of the units off a curve, by straight lines between its points.

    Parameters
    ----------
    curve : RemovalCurve
    fraction : float
        Share of the units.
    n_samples : int
        On which the curve was measured.
    """

    def at(name: str, start: float) -> Estimate:
        return interpolated(
            fraction, [(point.fraction, getattr(point, name)) for point in curve.points], start
        )

    change = _shifted(at("score", curve.dense_score), -curve.dense_score)
    return Prediction(
        fraction=fraction,
        loss=at("loss", 0.0),
        divergence=at("divergence", 0.0),
        score_name=curve.score_name,
        dense_score=curve.dense_score,
        score_change=changed(change, curve.score_name, curve.dense_score, n_samples),
        criterion=curve.criterion,
        beyond=fraction > curve.points[-1].fraction,
    )


def changed(change: Estimate, score_name: ScoreName, dense_score: float, n_samples: int) -> Estimate:
    """Return a change of score with an interval that does not vanish.

    Where not one sample changed sides, resampling gives accuracy an interval without width. Then 3 / n stands
    on either side: with that many changes in the population, one would have shown with 95 % probability.

    References
    ----------
    Hanley and Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249 (1983).
    """
    if score_name != "accuracy" or not change.width < 0.5 / n_samples:
        return change
    return Estimate(
        value=change.value,
        low=max(change.value - 3 / n_samples, -dense_score),
        high=min(change.value + 3 / n_samples, 1 - dense_score),
    )


def interpolated(fraction: float, points: Sequence[tuple[float, Estimate]], start: float) -> Estimate:
    """Read an estimate between points, by straight lines; ``start`` stands at 0, the last beyond the last."""
    places = [0.0, *(place for place, _ in points)]

    def read(name: str) -> float:
        return float(np.interp(fraction, places, [start, *(getattr(entry, name) for _, entry in points)]))

    return Estimate(value=read("value"), low=read("low"), high=read("high"))


def _shifted(estimate: Estimate, by: float) -> Estimate:
    return Estimate(value=estimate.value + by, low=estimate.low + by, high=estimate.high + by)


def together(predictions: Sequence[Prediction], *, chance: float = 0.0) -> Prediction:
    """Add the costs of several granularities that are cut by the same share.

    Nothing was measured with all of them cut, so this takes removal as additive across granularities; the
    intervals are added as those of independent errors.

    Parameters
    ----------
    predictions : sequence of Prediction
        At least one.
    chance : float
        Accuracy of guessing, below which the sum does not fall.
    """
    first = predictions[0]
    change = _sum([entry.score_change for entry in predictions])
    if first.score_name == "accuracy":
        floor = min(0.0, chance - first.dense_score)
        change = Estimate(
            value=max(change.value, floor), low=max(change.low, floor), high=max(change.high, floor)
        )
    return Prediction(
        fraction=first.fraction,
        loss=_sum([entry.loss for entry in predictions]),
        divergence=_sum([entry.divergence for entry in predictions]),
        score_name=first.score_name,
        dense_score=first.dense_score,
        score_change=change,
        criterion=", ".join(dict.fromkeys(entry.criterion for entry in predictions)),
        beyond=any(entry.beyond for entry in predictions),
    )


def _sum(estimates: Sequence[Estimate]) -> Estimate:
    value = sum(entry.value for entry in estimates)
    below = math.sqrt(sum((entry.value - entry.low) ** 2 for entry in estimates))
    above = math.sqrt(sum((entry.high - entry.value) ** 2 for entry in estimates))
    return Estimate(value=value, low=value - below, high=value + above)
