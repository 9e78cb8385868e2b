"""What a growing removal costs, closed units beside matrices cut apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from secateur.sia.components import Component
from secateur.sia.measured.bootstrap import NOTHING, estimate_of
from secateur.sia.measured.matrix_tables import MatrixTables
from secateur.sia.measured.measurement import (
    Estimate,
    Objective,
    RemovalCurve,
    RemovalPoint,
    ScoreName,
    Treatment,
)
from secateur.sia.measured.pool import UnitPool
from secateur.sia.measured.quantities import Calibration
from secateur.sia.measured.removal_choice import Choice, apart_removal, choices, closed_removal
from secateur.sia.measured.stability import EXACT
from secateur.structure.spec import Role
from secateur.surgery.apart import cut_apart
from secateur.tasks.sample_judges import SCORE

FRACTIONS = (0.125, 0.25, 0.5, 0.75, 0.875, 0.95)
AT_ONCE = 4
"""Exact removals in one step, where they are what chooses."""

POINTS_AT_ONCE = 2
"""Points of a curve in one step."""


@dataclass(frozen=True, kw_only=True)
class _Curve:
    criterion: str
    treatment: Treatment


class RemovalLoss:
    """Measures one curve after another: a criterion, and a treatment.

    Parameters
    ----------
    calibration : Calibration
    component : Component
        Cut apart: ``matrix`` where the FFN is gated, ``group`` and ``head`` where several query heads share a
        key and value. Elsewhere one matrix's choice is taken over by the others, and apart is closed. Models
        whose attention takes an argument a head (ALiBi) cannot be cut apart. Closed: all but ``matrix``.
    pool : UnitPool or None
        Of the component; None for ``matrix``.
    tables : MatrixTables
    criteria : sequence of str
        Registered names. Layers are also chosen by their exact removal.
    """

    def __init__(
        self,
        calibration: Calibration,
        component: Component,
        pool: UnitPool | None,
        tables: MatrixTables,
        criteria: Sequence[str],
    ) -> None:
        self._calibration, self._component, self._pool, self._tables = calibration, component, pool, tables
        bound = calibration.evaluator.bound
        self._family, self._shape, self._gated = bound.spec.family, bound.shape, bound.spec.is_gated
        self._choices = choices(self._family, self._shape, component, FRACTIONS)
        self._waiting = self._wanted(criteria) if self._choices else []
        self._figures: dict[_Curve, list[tuple[Choice, np.ndarray]]] = {}

    def _wanted(self, criteria: Sequence[str]) -> list[_Curve]:
        closed: list[str] = []
        apart: list[str] = []
        scores = self._calibration.scores
        if self._pool is not None:
            closed = [name for name in criteria if scores.scores(name, self._component) is not None]
        if self._component == "layer":
            closed.append(EXACT)
        if self._can_be_apart():
            apart += filter(self._tables.can_score, criteria)
        chosen: dict[Treatment, list[str]] = {"closed": closed, "apart": apart}
        return [
            _Curve(criterion=name, treatment=treatment)
            for name in dict.fromkeys((*closed, *apart))
            for treatment, names in chosen.items()
            if name in names
        ]

    def _can_be_apart(self) -> bool:
        if self._component in ("layer", "channel"):
            return False
        stack = self._calibration.evaluator.bound.spec.stacks[0]
        if stack.attention.head_inputs or stack.cross_attention is not None:
            return False
        if self._component == "matrix":
            return self._gated
        return self._shape.shares_keys

    @property
    def is_exhausted(self) -> bool:
        """Whether all curves were measured."""
        return not self._waiting

    def step(self) -> None:
        """Measure a few points of a curve, or a part of the exact removals that it needs."""
        if not self._waiting:
            return
        curve = self._waiting[0]
        pool = self._pool
        if curve.criterion == EXACT and pool is not None and not pool.is_exhausted:
            for _ in range(AT_ONCE):
                if not pool.is_exhausted:
                    pool.measure()
            return
        measuring = self._closed if curve.treatment == "closed" else self._apart
        points = self._figures.setdefault(curve, [])
        for choice in self._choices[len(points) :][:POINTS_AT_ONCE]:
            points.append((choice, measuring(curve.criterion, choice)))
        if len(points) == len(self._choices):
            self._waiting.pop(0)

    def _closed(self, criterion: str, choice: Choice) -> np.ndarray:
        tables = self._calibration.scores
        scores = self._exact() if criterion == EXACT else tables.whole(criterion, self._component)
        gone = closed_removal(self._shape, self._component, scores, choice.counts)
        return self._calibration.evaluator.figures(gone)

    def _apart(self, criterion: str, choice: Choice) -> np.ndarray:
        evaluator = self._calibration.evaluator
        assert self._tables.can_score(criterion), "only matrices that a criterion can score are cut apart"
        roles: tuple[Role, ...] = ("q", "k", "gate", "up", "down")
        present = {
            role for projection in evaluator.bound.spec.stacks[0].projections for role in projection.roles
        }
        scores = [
            {role: self._tables.resampled(criterion, layer, role)[:, 0] for role in roles if role in present}
            for layer in range(self._shape.n_layers)
        ]
        plan = apart_removal(
            self._family, self._shape, self._component, scores, choice.counts, gated=self._gated
        )
        return evaluator.figures_of(cut_apart(evaluator.model, plan))

    def _exact(self) -> np.ndarray:
        pool = self._pool
        assert pool is not None, "layers have a pool"
        index = self._calibration.objective_index(self._calibration.evaluator.objectives[0])
        costs = np.empty(len(pool.units))
        costs[pool.measured] = pool.costs(index).mean(axis=1)
        return costs

    def widths(self) -> list[Estimate]:
        """Return none: only more calibration samples would narrow these."""
        return []

    def curves(self) -> Iterator[RemovalCurve]:
        """Yield the curves that were measured."""
        evaluator = self._calibration.evaluator
        name = evaluator.judge.score_name
        dense = 1.0 if name == "perplexity_ratio" else float(evaluator.dense[SCORE].mean())
        for curve, points in self._figures.items():
            yield RemovalCurve(
                component=self._component,
                criterion=curve.criterion,
                treatment=curve.treatment,
                score_name=name,
                dense_score=dense,
                points=tuple(self._point(choice, figures, name) for choice, figures in points),
            )

    def _point(self, choice: Choice, figures: np.ndarray, name: ScoreName) -> RemovalPoint:
        evaluator, weights = self._calibration.evaluator, self._calibration.weights
        costs = evaluator.increase(figures) @ weights

        def estimate(objective: Objective) -> Estimate:
            known = objective in evaluator.objectives
            return estimate_of(costs[self._calibration.objective_index(objective)]) if known else NOTHING

        score = np.exp(costs[0]) if name == "perplexity_ratio" else figures[SCORE] @ weights
        return RemovalPoint(
            fraction=choice.fraction,
            parameters=choice.parameters,
            loss=estimate("loss"),
            divergence=estimate("divergence"),
            score=estimate_of(score),
        )
