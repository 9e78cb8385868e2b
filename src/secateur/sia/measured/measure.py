"""Measures everything in turn, until all is known well enough or the budget is spent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from secateur.core.errors import ConfigError, UnsupportedArchitecture
from secateur.core.progress import progress as progress_bar
from secateur.models.calls import Batch
from secateur.scoring.registered import CRITERIA
from secateur.sia.components import COMPONENTS, Component
from secateur.sia.measured.additivity import Additivity
from secateur.sia.measured.agreement import SHARED_BY, MatrixAgreement
from secateur.sia.measured.evaluation import Evaluator
from secateur.sia.measured.gating import has_norm_over_heads
from secateur.sia.measured.interactions import Interactions
from secateur.sia.measured.matrix_tables import MatrixTables
from secateur.sia.measured.measurement import Ending, Measured
from secateur.sia.measured.pool import UNIT_COMPONENTS, UnitPool
from secateur.sia.measured.quantities import Calibration, Quantity
from secateur.sia.measured.removal import RemovalLoss
from secateur.sia.measured.single_removal import SingleRemoval
from secateur.sia.measured.stability import Stability

FIRST_LOOKS = 3
"""Rounds behind each of which intervals are looked at; later looks are half as many rounds again apart."""


def measure(
    model: nn.Module,
    batches: Sequence[Batch],
    *,
    components: Sequence[Component],
    criteria: Sequence[str],
    budget_s: float,
    width: float,
    seed: int,
    max_evaluations: int | None = None,
    share: float | None = None,
    progress: Callable[[Measured], None] | None = None,
) -> Measured:
    """Measure how far removals add up, bear on each other, keep ranks and are foreseen by criteria.

    All figures take turns, so that an early answer says something of each. Measuring ends when every gap,
    normalised interaction and rank correlation has an interval of at most ``width``, when time or evaluations
    are used up, or when nothing is left to draw. Which evaluations are made depends on the seed alone: with a
    number of evaluations as the only limit the same figures come out again.

    Parameters
    ----------
    model : nn.Module
        A Diagnoser, a causal language model or an encoder; left as it is. An encoder without a task is judged
        by its embedding alone.
    batches : sequence of dict
        Calibration batches, a fixed small set: windows (:func:`secateur.tasks.calibration.draw_batches`) or
        tokens. For a language model the dense log-probabilities are kept: 4 bytes a token and entry of the
        vocabulary.
    components : sequence of Component
        What is removed.
    criteria : sequence of str
        Registered names of criteria.
    budget_s : float
        Seconds; may be infinite where ``max_evaluations`` is given.
    width : float
        Wanted width of the intervals.
    seed : int
        Of every draw.
    max_evaluations : int, optional
        Passes over the calibration set after which to end; the step under way is finished.
    share : float, optional
        Part of the units that is to be cut; random sets as large as the verdict needs for it come first.
    progress : callable, optional
        Given what is known so far, every now and then; the first time after one step of every figure.

    Returns
    -------
    Measured

    Raises
    ------
    ConfigError
        If a component, a criterion or a limit is not allowed, or a batch is of no known kind.
    UnsupportedArchitecture
        If the model has several stacks of blocks, or single heads stand under a norm over all heads.
    """
    _check(components, criteria, budget_s, width, max_evaluations)
    begun = time.monotonic()
    evaluator = Evaluator(model, batches)
    _check_heads(evaluator, components)
    measurement = _Measurement.of(evaluator, tuple(components), tuple(criteria), seed, share)
    limits = _Limits(begun=begun, budget_s=budget_s, max_evaluations=max_evaluations, width=width)
    active = measurement.quantities
    ended_by: Ending | None = None
    number, next_look = 0, 1
    with progress_bar("measuring removals", None) as bar:
        while ended_by is None:
            for quantity in active:
                quantity.step()
                bar.advance(evaluations=evaluator.n_evaluations, seconds=round(time.monotonic() - begun))
                ended_by = limits.spent(evaluator)
                if ended_by:
                    break
            number += 1
            if number >= next_look:
                next_look = max(number + 1, number * 3 // 2) if number >= FIRST_LOOKS else number + 1
                active = [quantity for quantity in active if not limits.is_narrow(quantity)]
                if progress is not None:
                    progress(measurement.result(limits, ended_by or "unfinished"))
            active = [quantity for quantity in active if not quantity.is_exhausted]
            if not active and ended_by is None:
                narrow = all(limits.is_narrow(quantity) for quantity in measurement.quantities)
                ended_by = "width" if narrow else "exhausted"
    return measurement.result(limits, ended_by)


@dataclass(frozen=True, kw_only=True)
class _Limits:
    begun: float
    budget_s: float
    max_evaluations: int | None
    width: float

    def spent(self, evaluator: Evaluator) -> Ending | None:
        if self.max_evaluations is not None and evaluator.n_evaluations >= self.max_evaluations:
            return "evaluations"
        return "budget" if time.monotonic() - self.begun >= self.budget_s else None

    def is_narrow(self, quantity: Quantity) -> bool:
        """Whether all intervals of a quantity are narrow; those that have none are narrow when exhausted."""
        estimates = quantity.widths()
        if not estimates:
            return quantity.is_exhausted
        return all(estimate.width <= self.width for estimate in estimates)


@dataclass(frozen=True, kw_only=True)
class _Measurement:
    """All quantities of all components."""

    evaluator: Evaluator
    components: tuple[Component, ...]
    criteria: tuple[str, ...]
    seed: int
    singles: tuple[SingleRemoval, ...]
    additivity: tuple[Additivity, ...]
    interactions: tuple[Interactions, ...]
    stability: tuple[Stability, ...]
    agreement: tuple[MatrixAgreement, ...]
    removal: tuple[RemovalLoss, ...]

    @classmethod
    def of(
        cls,
        evaluator: Evaluator,
        components: tuple[Component, ...],
        criteria: tuple[str, ...],
        seed: int,
        share: float | None,
    ) -> _Measurement:
        calibration = Calibration.of(evaluator, seed=seed)
        tables = MatrixTables(calibration)
        pools = {
            component: UnitPool(evaluator, component, seed=seed)
            for component in components
            if component in UNIT_COMPONENTS
        }
        shared = dict.fromkeys(SHARED_BY[component] for component in components if component in SHARED_BY)
        return cls(
            evaluator=evaluator,
            components=components,
            criteria=criteria,
            seed=seed,
            singles=tuple(SingleRemoval(calibration, pool, criteria) for pool in pools.values()),
            additivity=tuple(Additivity(calibration, pool, share=share) for pool in pools.values()),
            interactions=tuple(Interactions(calibration, pool) for pool in pools.values()),
            stability=tuple(Stability(calibration, pool, criteria) for pool in pools.values()),
            agreement=tuple(MatrixAgreement(calibration, tables, unit, criteria) for unit in shared),
            removal=tuple(
                RemovalLoss(calibration, component, pools.get(component), tables, criteria)
                for component in components
            ),
        )

    @property
    def quantities(self) -> list[Quantity]:
        return [
            *self.singles,
            *self.additivity,
            *self.interactions,
            *self.agreement,
            *self.removal,
            *self.stability,
        ]

    def result(self, limits: _Limits, ended_by: Ending) -> Measured:
        widths = [estimate.width for quantity in self.quantities for estimate in quantity.widths()]
        known = [width for width in widths if np.isfinite(width)]
        return Measured(
            task=self.evaluator.judged,
            components=self.components,
            criteria=self.criteria,
            additivity=tuple(curve for quantity in self.additivity for curve in quantity.curves()),
            interactions=tuple(entry for quantity in self.interactions for entry in quantity.interactions()),
            interaction_maps=tuple(entry for quantity in self.interactions for entry in quantity.maps()),
            rank_stability=tuple(entry for quantity in self.stability for entry in quantity.figures()),
            fidelity=tuple(entry for quantity in self.singles for entry in quantity.fidelities()),
            agreement=tuple(entry for quantity in self.agreement for entry in quantity.agreements()),
            removal_loss=tuple(curve for quantity in self.removal for curve in quantity.curves()),
            n_samples=self.evaluator.n_samples,
            n_evaluations=self.evaluator.n_evaluations,
            seconds=time.monotonic() - limits.begun,
            reached_width=max(known, default=float("nan")),
            wanted_width=limits.width,
            ended_by=ended_by,
            seed=self.seed,
        )


def _check(
    components: Sequence[Component],
    criteria: Sequence[str],
    budget_s: float,
    width: float,
    max_evaluations: int | None,
) -> None:
    unknown = [component for component in components if component not in COMPONENTS]
    if unknown or not components or len(set(components)) < len(components):
        raise ConfigError(f"components {list(components)}; give some of {', '.join(COMPONENTS)}, each once.")
    for criterion in criteria:
        CRITERIA.get(criterion)
    if not criteria or len(set(criteria)) < len(criteria):
        raise ConfigError(
            f"criteria {list(criteria)}; give some of {', '.join(CRITERIA.names())}, each once."
        )
    if not budget_s > 0 or not width > 0 or (max_evaluations is not None and max_evaluations < 1):
        raise ConfigError(
            f"a budget of {budget_s} s, {max_evaluations} evaluations and intervals {width} wide were asked "
            "for; each must be above 0."
        )


def _check_heads(evaluator: Evaluator, components: Sequence[Component]) -> None:
    for layer in evaluator.bound.layers:
        if "head" in components and layer.heads_per_group > 1 and has_norm_over_heads(layer):
            raise UnsupportedArchitecture(
                f"in '{evaluator.bound.spec.family}' models a norm runs over all queries, so that a query "
                "head cannot be taken out without changing its neighbours; leave the component 'head' out."
            )
