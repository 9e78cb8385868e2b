"""The verdict of the check: which granularity can be cut by importance, in which units, by which criterion.

A granularity has the definition that comes to mind first (a layer, a query head, a row of an FFN matrix) and
the closed units in which it is cut. Where the first is closed, the verdict is ``reliable``; where it is not,
``reliable with closed units``; and ``unreliable`` where scores of the closed units do not serve.

The cost over a lot has the last word (:data:`LAST_WORD`): it asks for the ratio at hand what scores are for,
whether a choice by score costs less than a random one. Where that is open or was not measured, the other
figures stand in for it, which ask whether single removals tell of many. A figure fails only when its whole
interval lies beyond its limit: what a small sample leaves open is called open, and so is a figure over too
few random sets of units. Where the removal of a good part of the units costs next to nothing, figures are
idle: no order can be wrong that matters. A verdict that rests on an open figure is not settled: nothing was
found against it, and that is all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from secateur.sia.components import Component
from secateur.sia.figures import JUDGED_IN, figures_of, sets_of, subset_point
from secateur.sia.measured.measurement import Estimate, Measured, Treatment
from secateur.sia.measured.stability import EXACT
from secateur.sia.prediction import Prediction, Trial, curve_of, predict, removed_share, together
from secateur.sia.structural import Structure
from secateur.sia.thresholds import Figure, Limit, Thresholds, thresholds
from secateur.structure.shape import ModelShape

Verdict = Literal["reliable", "reliable with closed units", "unreliable"]
Granularity = Literal["layers", "heads", "channels"]
Outcome = Literal["holds", "open", "fails", "idle"]

WITHOUT_KNOWLEDGE = "random"
"""The criterion that is never recommended; it is measured for comparison."""

LAST_WORD: Figure = "cost_over_lot"
"""The figure that decides where it is not open."""

SUMS: tuple[Figure, ...] = ("additivity_gap", "interaction")
"""Figures that tell whether the cost of a cut is the sum of the costs of its parts."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One figure held against its limit.

    Attributes
    ----------
    figure : {"additivity_gap", "interaction", "rank_stability", "fidelity", "cost_over_lot"}
    component : Component
        Of which units.
    value : Estimate
    limit : Limit
    outcome : {"holds", "open", "fails", "idle"}
        ``open`` where the interval has the limit in it or there were too few sets, ``idle`` where nothing is
        at stake.
    sets : int or None
        Random sets of units that the figure was taken over; None for a figure that needs none.
    too_few_sets : bool
        Whether that is why it is open.
    """

    figure: Figure
    component: Component
    value: Estimate
    limit: Limit
    outcome: Outcome
    sets: int | None = None
    too_few_sets: bool = False


@dataclass(frozen=True, kw_only=True)
class GranularityVerdict:
    """The verdict on one granularity.

    Attributes
    ----------
    granularity : {"layers", "heads", "channels"}
    verdict : {"reliable", "reliable with closed units", "unreliable"}
    settled : bool
        Whether it rests on no open figure.
    sums : {"holds", "open", "fails", "idle"} or None
        Whether costs of single units add up (the worst of :data:`SUMS`); None where it was not measured.
        Where they do not, a large cut needs several rounds of scoring.
    definition : Component
        What comes to mind first as its unit.
    units : Component
        Closed units in which to cut it.
    basis : {"structure", "measured"}
        Whether figures were there to decide.
    criterion : str or None
        Of the highest fidelity, ``"removal"`` for layers; None where nothing was measured.
    checks : tuple of Check
    predicted : Prediction or None
        Cost at the asked ratio if this granularity alone gives the asked share of its closed units.
    predicted_apart : Prediction or None
        The same for its definition, every matrix cut by itself; None where that is the closed cut.
    """

    granularity: Granularity
    verdict: Verdict
    settled: bool
    sums: Outcome | None
    definition: Component
    units: Component
    basis: Literal["structure", "measured"]
    criterion: str | None
    checks: tuple[Check, ...]
    predicted: Prediction | None
    predicted_apart: Prediction | None


@dataclass(frozen=True, kw_only=True)
class ModelVerdict:
    """The verdict on a model.

    Attributes
    ----------
    granularities : tuple of GranularityVerdict
        Layers, heads, channels.
    ratio : float or None
        Asked for.
    share : float or None
        Part of the blocks' parameters that it takes away; None where the blocks do not suffice.
    criterion : str or None
        Recommended for heads and channels together.
    predicted, predicted_apart : Prediction or None
        Cost at the ratio before recovery, heads and channels cut together: in closed units, and by the
        definitions that come to mind first.
    predicted_by : {"trial", "curves"} or None
        Measured on a trial cut; or the costs of heads and of channels added, each cut by the same share.
    thresholds : Thresholds
    """

    granularities: tuple[GranularityVerdict, ...]
    ratio: float | None
    share: float | None
    criterion: str | None
    predicted: Prediction | None
    predicted_apart: Prediction | None
    predicted_by: Literal["trial", "curves"] | None
    thresholds: Thresholds

    @property
    def unreliable(self) -> tuple[GranularityVerdict, ...]:
        """Granularities of which the verdict is ``unreliable``."""
        return tuple(entry for entry in self.granularities if entry.verdict == "unreliable")


def judge(
    structure: Structure,
    measured: Measured | None,
    *,
    shape: ModelShape,
    ratio: float | None,
    default_criterion: str,
    chance: float = 0.0,
    trial: Trial | None = None,
    limits: Thresholds | None = None,
) -> ModelVerdict:
    """Come to a verdict.

    Parameters
    ----------
    structure : Structure
        The structural part.
    measured : Measured or None
        The measured part, where there is one.
    shape : ModelShape
        The dense model.
    ratio : float or None
        Dense over remaining parameters, for the prediction.
    default_criterion : str
        Recommended unless another is better beyond its interval.
    chance : float
        Accuracy of guessing, for a classifier.
    trial : Trial, optional
        A trial cut to the ratio.
    limits : Thresholds, optional
        Default: the shipped ones.
    """
    limits = limits or thresholds()
    share = None if ratio is None else removed_share(structure.family, shape, ratio)
    criterion = None if measured is None else recommended_criterion(measured, default_criterion)
    found = tuple(
        _granularity(name, definition, structure, measured, share, limits, default_criterion)
        for name, definition in _definitions(structure)
    )
    closed, apart = (trial.closed, trial.apart) if trial is not None else _from_curves(found, chance)
    return ModelVerdict(
        granularities=found,
        ratio=ratio,
        share=share,
        criterion=criterion,
        predicted=closed,
        predicted_apart=apart,
        predicted_by=None if closed is None else "curves" if trial is None else "trial",
        thresholds=limits,
    )


def _from_curves(
    granularities: Sequence[GranularityVerdict], chance: float
) -> tuple[Prediction | None, Prediction | None]:
    inner = [entry for entry in granularities if entry.granularity != "layers"]
    closed = _summed([entry.predicted for entry in inner], chance)
    if not any(entry.predicted_apart for entry in inner):
        return closed, None
    return closed, _summed([entry.predicted_apart or entry.predicted for entry in inner], chance)


def recommended_criterion(
    measured: Measured, default: str, *, components: Sequence[Component] = ("group", "channel")
) -> str | None:
    """Return the criterion of the highest fidelity, averaged over components.

    The default stays where the best one lies inside its interval: a difference that the sample does not show
    is none. None where no fidelity was measured.
    """
    values: dict[str, list[Estimate]] = {}
    for entry in measured.fidelity:
        if (
            entry.component in components
            and entry.objective == JUDGED_IN
            and entry.criterion != WITHOUT_KNOWLEDGE
            and not math.isnan(entry.value.value)
        ):
            values.setdefault(entry.criterion, []).append(entry.value)
    if not values:
        return None
    means = {name: float(np.mean([entry.value for entry in found])) for name, found in values.items()}
    best = max(means, key=lambda name: (means[name], name == default))
    if default in values and means[best] <= np.mean([entry.high for entry in values[default]]):
        return default
    return best


def _definitions(structure: Structure) -> list[tuple[Granularity, Component]]:
    """Each granularity with the definition that comes to mind first.

    In a plain FFN the choice of one matrix is the choice of a channel: a row of ``up`` is taken over by
    ``down``, with which nothing competes.
    """
    heads = any(entry.component == "head" for entry in structure.definitions)
    return [
        ("layers", "layer"),
        ("heads", "head" if heads else "group"),
        ("channels", "matrix" if structure.gated else "channel"),
    ]


def _granularity(
    granularity: Granularity,
    definition: Component,
    structure: Structure,
    measured: Measured | None,
    share: float | None,
    limits: Thresholds,
    default_criterion: str,
) -> GranularityVerdict:
    entry = structure.definition(definition)
    units = entry.closed_form
    checks: tuple[Check, ...] = ()
    criterion = predicted = apart = None
    if measured is not None:
        # layers are few, so their exact loss chooses
        criterion = (
            EXACT
            if units == "layer"
            else recommended_criterion(measured, default_criterion, components=(units,))
        )
        ranked = structure.definition(units).parts >= limits.fewest_units
        checks = tuple(_checks(measured, units, criterion, limits, share=share, ranked=ranked))
        predicted = _predicted(measured, units, "closed", criterion, share)
        if not entry.holds:
            apart = _predicted(measured, definition, "apart", criterion, share)
    serves, settled = _scores_serve({check.figure: check.outcome for check in checks})
    kind: Verdict = "reliable" if entry.holds else "reliable with closed units"
    return GranularityVerdict(
        granularity=granularity,
        verdict=kind if serves else "unreliable",
        settled=settled,
        sums=_worst([check.outcome for check in checks if check.figure in SUMS]),
        definition=definition,
        units=units,
        basis="measured" if checks else "structure",
        criterion=criterion,
        checks=checks,
        predicted=predicted,
        predicted_apart=apart,
    )


def _scores_serve(outcomes: Mapping[Figure, Outcome]) -> tuple[bool, bool]:
    """Return whether nothing speaks against a choice by score, and whether that is settled."""
    last = outcomes.get(LAST_WORD, "open")
    if last != "open":
        return last != "fails", True
    if "fails" in outcomes.values():
        return False, LAST_WORD not in outcomes
    return True, "open" not in outcomes.values()


def _worst(outcomes: Sequence[Outcome]) -> Outcome | None:
    order: tuple[Outcome, ...] = ("fails", "open", "holds", "idle")
    return min(outcomes, key=order.index, default=None)


def _predicted(
    measured: Measured, component: Component, treatment: Treatment, criterion: str | None, share: float | None
) -> Prediction | None:
    curve = curve_of(measured, component, treatment=treatment, criterion=criterion)
    return None if curve is None or share is None else predict(curve, share, n_samples=measured.n_samples)


def _summed(predictions: Sequence[Prediction | None], chance: float) -> Prediction | None:
    known = [entry for entry in predictions if entry is not None]
    return together(known, chance=chance) if len(known) == len(predictions) and known else None


def _checks(
    measured: Measured,
    component: Component,
    criterion: str | None,
    limits: Thresholds,
    *,
    share: float | None,
    ranked: bool,
) -> list[Check]:
    found = figures_of(
        measured, component, criterion, at_fraction=limits.at_fraction, share=share, ranked=ranked
    )
    idle = _is_idle(measured, component, limits.at_fraction, limits)
    idle_at_share = _is_idle(measured, component, max(limits.at_fraction, share or 0.0), limits)

    def check(name: Figure, value: Estimate) -> Check:
        limit = limits.limits[name]
        sets = sets_of(measured, component, name, at_fraction=limits.at_fraction, share=share)
        outcome = "idle" if (idle_at_share if name == "cost_over_lot" else idle) else _outcome(value, limit)
        too_few = outcome != "idle" and sets is not None and sets < limits.fewest_sets
        return Check(
            figure=name,
            component=component,
            value=value,
            limit=limit,
            outcome="open" if too_few else outcome,
            sets=sets,
            too_few_sets=too_few,
        )

    return [check(name, value) for name, value in found.items()]


def _is_idle(measured: Measured, component: Component, fraction: float, limits: Thresholds) -> bool:
    point = subset_point(measured, component, fraction)
    return point is not None and max(point.joint.high, point.summed.high) < limits.negligible


def _outcome(value: Estimate, limit: Limit) -> Outcome:
    ends = [limit.keeps(end) for end in (value.low, value.high) if not math.isnan(end)]
    if ends and all(ends):
        return "holds"
    return "open" if not ends or any(ends) else "fails"
