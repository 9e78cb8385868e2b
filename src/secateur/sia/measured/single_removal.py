"""Exact removal of one unit after another, and how faithfully criteria foresee it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from secateur.core.seeds import generator
from secateur.sia.measured.bootstrap import NOTHING, correlation_of
from secateur.sia.measured.estimators import spearman
from secateur.sia.measured.measurement import Estimate, Fidelity, Objective
from secateur.sia.measured.pool import UnitPool
from secateur.sia.measured.quantities import Calibration
from secateur.sia.measured.stability import FEWEST

AT_ONCE = 8
"""Units removed in one step."""

ENOUGH = 16
"""Units below which an interval does not count, unless there are no more."""


class SingleRemoval:
    """Removes unit after unit and ranks the result against each criterion.

    Parameters
    ----------
    calibration : Calibration
    pool : UnitPool
        Of the component; filled here.
    criteria : sequence of str
        Registered names.
    """

    def __init__(self, calibration: Calibration, pool: UnitPool, criteria: Sequence[str]) -> None:
        self._calibration, self._pool, self._criteria = calibration, pool, tuple(criteria)

    @property
    def is_exhausted(self) -> bool:
        """Whether all units of the sample were removed."""
        return self._pool.is_exhausted

    def step(self) -> None:
        """Remove a few more units."""
        for _ in range(AT_ONCE):
            if not self._pool.is_exhausted:
                self._pool.measure()

    def widths(self) -> list[Estimate]:
        """Return every fidelity."""
        enough = self._pool.is_exhausted or len(self._pool.measured) >= ENOUGH
        return [found.value if enough else NOTHING for found in self.fidelities()]

    def fidelities(self) -> Iterator[Fidelity]:
        """Yield one figure for each criterion and objective; none where a criterion cannot score."""
        for criterion in self._criteria:
            scores = self._calibration.scores.scores(criterion, self._pool.component)
            if scores is None:
                continue
            for objective in self._pool.evaluator.objectives:
                whole = self._calibration.scores.whole(criterion, self._pool.component)
                value, within = self._correlations(scores, whole, objective)
                yield Fidelity(
                    component=self._pool.component,
                    criterion=criterion,
                    objective=objective,
                    value=value,
                    within_layers=within,
                    n_units=len(self._pool.measured),
                )

    def _correlations(
        self, scores: np.ndarray, whole: np.ndarray, objective: Objective
    ) -> tuple[Estimate, Estimate]:
        measured = np.array(self._pool.measured, dtype=np.int64)
        if len(measured) < FEWEST:
            return NOTHING, NOTHING
        weights = self._calibration.weights
        costs = self._pool.costs(self._calibration.objective_index(objective)) @ weights
        predicted = scores[:, measured].T @ self._chunk_weights(scores)
        predicted[:, 0] = whole[measured]
        layers = self._pool.layers[measured]
        members = [np.flatnonzero(layers == layer) for layer in np.unique(layers)]
        inside = [spearman(predicted[rows], costs[rows]) for rows in members if len(rows) >= FEWEST]
        within = correlation_of(np.mean(inside, axis=0)) if inside else NOTHING
        if not self._pool.is_complete:
            predicted, costs = self._resampled_units(predicted), self._resampled_units(costs)
        return correlation_of(spearman(predicted, costs)), within

    def _chunk_weights(self, scores: np.ndarray) -> np.ndarray:
        weights = self._calibration.scores.chunk_weights(self._calibration.weights)
        return weights if len(scores) == len(weights) else np.ones((len(scores), weights.shape[1]))

    def _resampled_units(self, table: np.ndarray) -> np.ndarray:
        """Let every column but the first have units drawn anew, the same in all tables."""
        n, columns = table.shape
        rows = generator(self._calibration.seed, "units", self._pool.component).integers(n, size=(n, columns))
        rows[:, 0] = np.arange(n)
        return np.take_along_axis(table, rows, axis=0)
