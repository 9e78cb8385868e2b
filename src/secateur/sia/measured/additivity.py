"""Additivity gap over growing random subsets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from secateur.core.seeds import generator
from secateur.sia.measured.bootstrap import NOTHING, estimate_of
from secateur.sia.measured.estimators import gap
from secateur.sia.measured.measurement import AdditivityCurve, Estimate, GapPoint, Objective
from secateur.sia.measured.pool import UnitPool, shares
from secateur.sia.measured.quantities import Calibration
from secateur.sia.thresholds import thresholds

SIZES = 6
"""Points of a curve, at most."""

SUBSETS = 32
"""Subsets of one size, at most."""

FEWEST_MEASURED = 8
"""Exact removals below which a sum over a subset is not estimated, unless there are no more."""

AT_ONCE = 3
"""Subsets measured in one step."""


def subset_sizes(n_units: int, removable: int) -> tuple[int, ...]:
    """Return the sizes of a curve: evenly spread on a logarithmic scale from 2 to half of the units.

    Parameters
    ----------
    n_units : int
        Units of the component.
    removable : int
        How many can go at once.
    """
    largest = min(removable, max(2, n_units // 2))
    if largest < 2:
        return ()
    steps = np.geomspace(2, largest, num=min(SIZES, largest - 1))
    return tuple(sorted({round(float(step)) for step in steps}))


def judged_sizes(sizes: tuple[int, ...], n_units: int, share: float | None) -> tuple[int, ...]:
    """Return the sizes that a verdict may rest on.

    Where the share to be cut is known: the last one up to it, for the cost over a lot, then the last one up
    to ``at_fraction``, for additivity. Else the latter and all above it, the largest first.
    """
    if not sizes:
        return ()
    at_fraction = thresholds().at_fraction

    def last(fraction: float) -> int:
        return max((size for size in sizes if size <= fraction * n_units), default=sizes[0])

    if share is None:
        return tuple(dict.fromkeys((sizes[-1], *(size for size in sizes if size >= last(at_fraction)))))
    return tuple(dict.fromkeys((last(max(share, at_fraction)), last(at_fraction))))


class Additivity:
    """Measures D(S) for one random subset after another.

    First, where the share to be cut is known, the sizes that the verdict rests on, until they have as many
    as it needs (``fewest_sets`` of the thresholds): one size a step. Else one of each size, then the sizes
    that a verdict may rest on. Then all in turn.

    Parameters
    ----------
    calibration : Calibration
    pool : UnitPool
        Of the component; its exact D({i}) are what D(S) is held against.
    share : float, optional
        Part of the units that is to be cut.
    """

    def __init__(self, calibration: Calibration, pool: UnitPool, *, share: float | None = None) -> None:
        self._calibration, self._pool = calibration, pool
        self.sizes = subset_sizes(len(pool.units), pool.removable)
        self._subsets: dict[int, list[tuple[int, ...]]] = {size: [] for size in self.sizes}
        self._joint: dict[int, list[np.ndarray]] = {size: [] for size in self.sizes}
        self._fewest = thresholds().fewest_sets
        self._judged = judged_sizes(self.sizes, len(pool.units), share)
        self._judged_first = share is not None

    @property
    def is_exhausted(self) -> bool:
        """Whether every size has all its subsets."""
        return all(len(subsets) >= SUBSETS for subsets in self._subsets.values())

    @property
    def _short(self) -> list[int]:
        """Sizes that a verdict may rest on, and that have too few subsets for it."""
        return [size for size in self._judged if len(self._subsets[size]) < self._fewest]

    def _next_size(self) -> int:
        """The size with the fewest subsets: largest and smallest first, then what lies between."""
        order = [self.sizes[-1], *self.sizes[:-1]]
        if all(self._subsets.values()):
            order = self._short or order
        return min(order, key=lambda size: len(self._subsets[size]))

    def step(self) -> None:
        """Measure a few more subsets."""
        if self._judged_first and self._short:
            size = self._short[0]
            for _ in range(self._fewest - len(self._subsets[size])):
                self._measure(size)
            return
        for _ in range(AT_ONCE):
            if self.is_exhausted:
                return
            self._measure(self._next_size())

    def _measure(self, size: int) -> None:
        number = len(self._subsets[size])
        draw = generator(self._calibration.seed, "subset", self._pool.component, size, number)
        subset = self._pool.draw_subset(size, draw)
        units = [self._pool.units[position] for position in subset]
        self._joint[size].append(self._pool.evaluator.cost(units))
        self._subsets[size].append(subset)

    def widths(self) -> list[Estimate]:
        """Return every gap."""
        points = [point for curve in self.curves() for point in curve.points]
        return [point.gap if point.n_subsets >= self._fewest else NOTHING for point in points]

    def curves(self) -> Iterator[AdditivityCurve]:
        """Yield one curve for each objective."""
        for objective in self._pool.evaluator.objectives:
            points = tuple(self._point(objective, size) for size in self.sizes)
            yield AdditivityCurve(component=self._pool.component, objective=objective, points=points)

    def _point(self, objective: Objective, size: int) -> GapPoint:
        subsets, measured = self._subsets[size], self._pool.measured
        found = (NOTHING,) * 3
        if subsets and (len(measured) >= FEWEST_MEASURED or self._pool.is_exhausted):
            index = self._calibration.objective_index(objective)
            weights = self._calibration.weights
            singles = self._pool.costs(index) @ weights
            exact, estimated = shares(subsets, measured, self._pool.layers)
            resampled = self._calibration.draws(len(measured), f"pool/{self._pool.component}") * len(measured)
            joint = np.stack([cost[index] for cost in self._joint[size]]) @ weights
            draws = self._calibration.draws(len(subsets), f"subsets/{self._pool.component}/{size}")
            statistics = gap(joint, exact @ singles + estimated @ (singles * resampled), draws)
            first, second, third = map(estimate_of, statistics)
            found = (first, second, third)
        return GapPoint(
            size=size,
            fraction=size / len(self._pool.units),
            gap=found[0],
            joint=found[1],
            summed=found[2],
            n_subsets=len(subsets),
        )
