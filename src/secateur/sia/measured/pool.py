"""Units drawn for exact single removal, and subsets and pairs drawn among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from secateur.core.seeds import generator
from secateur.sia.components import Component
from secateur.sia.measured.evaluation import Evaluator
from secateur.sia.measured.gating import has_norm_over_heads
from secateur.structure.units import Unit, units

UNIT_COMPONENTS: tuple[Component, ...] = ("layer", "group", "head", "channel")
"""Components whose parts can be taken out one at a time.

A row of one matrix cannot: set to zero, a row of ``gate`` takes the whole product with it, so it is the
channel; cut out, it shifts all rows behind it against those of ``up``.
"""

MOST = 512
"""Units of a component that are measured one by one; where there are more, they are a random sample."""

TOGETHER = 2
"""Units of a layer that are drawn one behind the other, so that pairs inside a layer exist early."""

TIMES = 8
"""How many times a subset's size must have been measured before members are drawn among the measured alone.

Subsets of few units have much in common: of 8 measured ones, two sixes share 4 at least. Their costs are then
no independent draws, and no interval counts that. With 8 times as many, what all subsets owe to the same few
weighs no more than the chance in the mean of 8 of them.
"""


class UnitPool:
    """The units of a component, in the random order in which they are removed one by one.

    Parameters
    ----------
    evaluator : Evaluator
    component : {"layer", "group", "head", "channel"}
    seed : int

    Attributes
    ----------
    units : tuple of Unit
        All of them, layer by layer.
    layers : ndarray of int, shape (units,)
        Layer of each.
    measured : list of int
        Positions in ``units`` of those that were removed alone, in order.
    homes : ndarray of int, shape (units,)
        Of units with the same number one must stay.
    """

    def __init__(self, evaluator: Evaluator, component: Component, *, seed: int) -> None:
        assert component != "matrix", "a matrix is no unit"
        self.evaluator, self.component = evaluator, component
        self.units: tuple[Unit, ...] = units(evaluator.bound.shape, component)
        self.layers = np.array([unit.layer for unit in self.units])
        self.measured: list[int] = []
        self._costs: list[np.ndarray] = []
        self._order = _interleaved(self.layers, seed=seed, name=component)[:MOST]
        # a norm over all heads needs one; elsewhere one unit stays of all
        self.homes = np.zeros_like(self.layers)
        if component in ("group", "head") and any(map(has_norm_over_heads, evaluator.bound.layers)):
            self.homes = self.layers

    @property
    def is_complete(self) -> bool:
        """Whether every unit was removed alone."""
        return len(self.measured) == len(self.units)

    @property
    def is_exhausted(self) -> bool:
        """Whether no more are to be removed alone."""
        return len(self.measured) == len(self._order)

    @property
    def removable(self) -> int:
        """How many units can go at once."""
        return len(self.units) - len(np.unique(self.homes))

    def measure(self) -> None:
        """Remove the next unit alone."""
        position = self._order[len(self.measured)]
        self._costs.append(self.evaluator.cost([self.units[position]]))
        self.measured.append(position)

    def costs(self, objective: int) -> np.ndarray:
        """Return D({i}) of each sample for the measured units, float64 (measured, samples)."""
        if not self._costs:
            return np.zeros((0, self.evaluator.n_samples))
        return np.stack([cost[objective] for cost in self._costs])

    def draw_subset(self, size: int, draw: np.random.Generator) -> tuple[int, ...]:
        """Draw positions of ``size`` units to remove together, at most :attr:`removable`.

        As many of each layer as their numbers allow, as cuts by score take them, so that the two can be
        compared. Measured ones where there are :data:`TIMES` as many, else any.
        """
        few = len(self.measured) < TIMES * size
        positions = np.arange(len(self.units)) if few else np.array(self.measured, dtype=np.int64)
        return tuple(sorted(self._first(self._in_turn(draw.permutation(positions)), size)))

    def draw_any(self, size: int, draw: np.random.Generator) -> tuple[int, ...]:
        """Draw positions of ``size`` units to remove together, measured or not, of whatever layers."""
        return tuple(sorted(self._first(draw.permutation(np.arange(len(self.units))), size)))

    def _in_turn(self, order: np.ndarray) -> np.ndarray:
        """Let the first units of all layers stand in front, then the second ones."""
        rounds = np.zeros(len(order), dtype=np.int64)
        for layer in np.unique(self.layers):
            own = self.layers[order] == layer
            rounds[own] = np.arange(own.sum())
        return order[np.argsort(rounds, kind="stable")]

    def _first(self, order: np.ndarray, size: int) -> list[int]:
        """The first units of an order that can go together."""
        left = dict(zip(*np.unique(self.homes, return_counts=True), strict=True))
        chosen: list[int] = []
        for position in order:
            home = self.homes[position]
            if left[home] > 1 and len(chosen) < size:
                left[home] -= 1
                chosen.append(int(position))
        return chosen


def _interleaved(layers: np.ndarray, *, seed: int, name: str) -> list[int]:
    """A random order in which layers take turns, a few units each."""
    draw = generator(seed, "pool", name)
    queues = [list(draw.permutation(np.flatnonzero(layers == layer))) for layer in np.unique(layers)]
    queues = [queues[index] for index in draw.permutation(len(queues))]
    order: list[int] = []
    while any(queues):
        for queue in queues:
            order += [int(position) for position in queue[:TOGETHER]]
            del queue[:TOGETHER]
    return order


def shares(
    subsets: Sequence[Iterable[int]], measured: Sequence[int], layers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return with which weight each measured unit's D enters the sum over a subset.

    A member that was measured enters once. A member that was not enters as the mean of the measured units of
    its layer (of all, where the layer has none): draws are uniform in each layer, so the sum is unbiased.

    Parameters
    ----------
    subsets : sequence of iterable of int
        Positions of the members.
    measured : sequence of int
        Positions of the measured units, the columns of the result.
    layers : ndarray of int, shape (units,)
        Layer of each unit.

    Returns
    -------
    exact, estimated : ndarray of float64, each of shape (subsets, measured)
        To be added; only the second stands for units that were not measured.
    """
    column = {position: index for index, position in enumerate(measured)}
    exact = np.zeros((len(subsets), len(measured)))
    estimated = np.zeros_like(exact)
    homes = layers[np.asarray(measured, dtype=np.int64)]
    for row, subset in enumerate(subsets):
        unknown = []
        for position in subset:
            if position in column:
                exact[row, column[position]] += 1
            else:
                unknown.append(layers[position])
        for layer, count in zip(*np.unique(unknown, return_counts=True), strict=True):
            known = homes == layer
            known = known if known.any() else np.ones_like(known)
            estimated[row, known] += count / known.sum()
    return exact, estimated
