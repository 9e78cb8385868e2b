"""Rank stability: do the scores of the units that stay keep their order when others go?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from secateur.core.seeds import generator
from secateur.sia.measured.bootstrap import NOTHING, REPLICATES, correlation_of, resampling_weights
from secateur.sia.measured.estimators import spearman
from secateur.sia.measured.measurement import Estimate, RankStability
from secateur.sia.measured.pool import UnitPool
from secateur.sia.measured.quantities import Calibration

EXACT = "removal"
"""Name of the exact single removal among the criteria."""

REMOVED_FRACTION = 0.25
REMOVALS = 8
"""Random parts that are removed, at most."""

FEWEST_REMOVALS = 4
"""Parts below which an interval does not count."""

RANKED = 256
"""Units whose order is compared, at most: a random sample where a component has more."""

HALVINGS = 4
"""Splits of the calibration set into two halves that are averaged over."""

AT_ONCE = 4
"""Exact removals in one step."""

FEWEST = 3
"""Units that a rank correlation needs."""


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Scores of surviving units before and after, by parts of the calibration set: (parts, units) each."""

    before: np.ndarray
    after: np.ndarray


@dataclass
class _Series:
    criterion: str
    shifts: list[Shift] = field(default_factory=list)
    # exact removal only: cost of the current part, then of the part with one survivor after another
    unfinished: list[np.ndarray] = field(default_factory=list)


class Stability:
    """Removes one random part after another and scores the rest again, the criteria in turn.

    Layers are also scored by their exact removal.

    Parameters
    ----------
    calibration : Calibration
    pool : UnitPool
        Of the component.
    criteria : sequence of str
        Registered names; those that look at no activation score the same before and after and are left out.
    """

    def __init__(self, calibration: Calibration, pool: UnitPool, criteria: Sequence[str]) -> None:
        self._calibration, self._pool = calibration, pool
        tables, component = calibration.scores, pool.component
        wanted = [name for name in criteria if tables.depends_on_samples(name)]
        if component == "layer":
            wanted = [name for name in wanted if tables.scores(name, component) is not None] + [EXACT]
        self._size = min(max(1, round(REMOVED_FRACTION * len(pool.units))), pool.removable)
        can_rank = self._size > 0 and len(pool.units) - self._size >= FEWEST
        self._series = [_Series(name) for name in wanted] if can_rank else []
        self._turn = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether all parts were removed for all criteria."""
        return all(len(series.shifts) >= REMOVALS for series in self._series)

    def step(self) -> None:
        """Remove one more part for one criterion, or go on with the exact removals after one."""
        if self.is_exhausted:
            return
        series = self._series[self._turn % len(self._series)]
        self._turn += 1
        if len(series.shifts) >= REMOVALS:
            return
        if series.criterion == EXACT:
            self._advance_exact(series)
        else:
            self._advance_scored(series)

    def _part(self, number: int) -> tuple[int, ...]:
        draw = generator(self._calibration.seed, "part", self._pool.component, number)
        return self._pool.draw_any(self._size, draw)

    def _survivors(self, gone: tuple[int, ...]) -> np.ndarray:
        survivors = np.setdiff1d(np.arange(len(self._pool.units)), gone)
        draw = generator(self._calibration.seed, "ranked", self._pool.component)
        return np.sort(draw.permutation(survivors)[:RANKED])

    def _advance_scored(self, series: _Series) -> None:
        tables, component = self._calibration.scores, self._pool.component
        gone = self._part(len(series.shifts))
        survivors = self._survivors(gone)
        without = [self._pool.units[position] for position in gone]
        before = tables.scores(series.criterion, component)
        after = tables.scores(series.criterion, component, without)
        assert before is not None, "layers are chosen by criteria that add up"
        assert after is not None, "layers are chosen by criteria that add up"
        series.shifts.append(Shift(before=before[:, survivors], after=after[:, survivors]))

    def _advance_exact(self, series: _Series) -> None:
        pool, evaluator = self._pool, self._pool.evaluator
        index = self._calibration.objective_index(evaluator.objectives[0])
        gone = self._part(len(series.shifts))
        survivors = self._survivors(gone)
        without = [pool.units[position] for position in gone]
        for _ in range(AT_ONCE):
            if not pool.is_exhausted:
                pool.measure()
            elif not series.unfinished:
                series.unfinished.append(evaluator.cost(without)[index])
            elif len(series.unfinished) <= len(survivors):
                unit = pool.units[survivors[len(series.unfinished) - 1]]
                series.unfinished.append(evaluator.cost([*without, unit])[index])
        if len(series.unfinished) <= len(survivors):
            return
        base, *later = series.unfinished
        row = {position: number for number, position in enumerate(pool.measured)}
        before = pool.costs(index)[[row[position] for position in survivors]].T
        series.shifts.append(Shift(before=before, after=np.stack(later, axis=1) - base[:, None]))
        series.unfinished = []

    def widths(self) -> list[Estimate]:
        """Return every stability."""
        if any(len(series.shifts) < FEWEST_REMOVALS for series in self._series):
            return [NOTHING]
        return [found.value for found in self.figures()]

    def figures(self) -> Iterator[RankStability]:
        """Yield one figure for each criterion."""
        for series in self._series:
            weights = self._calibration.weights
            if series.criterion != EXACT:
                weights = self._calibration.scores.chunk_weights(weights)
            value, across, ceiling = rank_stability(series.shifts, weights, seed=self._calibration.seed)
            yield RankStability(
                component=self._pool.component,
                criterion=series.criterion,
                removed_fraction=self._size / len(self._pool.units),
                value=value,
                across_halves=across,
                noise_ceiling=ceiling,
                n_removals=len(series.shifts),
            )


def rank_stability(
    shifts: Sequence[Shift], weights: np.ndarray, *, seed: int
) -> tuple[Estimate, Estimate, Estimate]:
    """Return stability on the same samples, across two halves, and the noise ceiling of the latter.

    Parameters
    ----------
    shifts : sequence of Shift
        One for each removed part.
    weights : ndarray, shape (parts, columns)
        Resampled calibration sets, in parts.
    seed : int
        Of the halves and of the draws of removed parts.

    Returns
    -------
    tuple of Estimate
        NaN without a shift; the last two also where the calibration set has fewer than four parts.
    """
    if not shifts:
        return NOTHING, NOTHING, NOTHING
    n_parts = len(weights)
    same = [spearman(shift.before.T @ weights, shift.after.T @ weights) for shift in shifts]
    across, ceiling = [], []
    if n_parts >= 4:
        halves = [_halves(n_parts, seed=seed, number=number) for number in range(HALVINGS)]
        for shift in shifts:
            pairs = [
                (shift.before.T @ one, shift.before.T @ other, shift.after.T @ other) for one, other in halves
            ]
            ceiling.append(np.mean([spearman(first, second) for first, second, _ in pairs], axis=0))
            across.append(np.mean([spearman(first, moved) for first, _, moved in pairs], axis=0))
    draws = resampling_weights(len(shifts), seed=seed, name="parts", replicates=weights.shape[1] - 1)
    found = [
        correlation_of((draws * np.stack(table)).sum(axis=0)) if table else NOTHING
        for table in (same, across, ceiling)
    ]
    return found[0], found[1], found[2]


def _halves(n_parts: int, *, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of two disjoint halves, each resampled within itself: (parts, columns)."""
    order = generator(seed, "halves", number).permutation(n_parts)
    tables = []
    for name, own in (("one", order[: n_parts // 2]), ("other", order[n_parts // 2 :])):
        table = np.zeros((n_parts, 1 + REPLICATES))
        table[own] = resampling_weights(len(own), seed=seed, name=f"half/{number}/{name}")
        tables.append(table)
    return tables[0], tables[1]
