"""Pairwise interaction of removals, within a layer and across layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from secateur.core.seeds import generator
from secateur.sia.measured.bootstrap import NOTHING, estimate_of
from secateur.sia.measured.estimators import interaction
from secateur.sia.measured.measurement import Estimate, Interaction, InteractionMap, Objective, Place
from secateur.sia.measured.pool import UnitPool
from secateur.sia.measured.quantities import Calibration

PAIRS = 512
"""Pairs of each place, at most."""

AT_ONCE = 2
"""Pairs of each place measured in one step."""

FEWEST = 16
"""Pairs below which an interval does not count, unless there are no more."""

PLACES: tuple[Place, ...] = ("within", "across")


Cell = tuple[int, int]
"""Two layers, the earlier first; twice the same for pairs inside a layer."""


@dataclass(frozen=True, kw_only=True)
class _Pair:
    first: int
    second: int
    joint: np.ndarray


class Interactions:
    """Measures D({i,j}) for one pair after another; cells of the layer-by-layer map take turns.

    Both units of a pair are among those that were removed alone.

    Parameters
    ----------
    calibration : Calibration
    pool : UnitPool
        Of the component.
    """

    def __init__(self, calibration: Calibration, pool: UnitPool) -> None:
        self._calibration, self._pool = calibration, pool
        self._pairs: dict[Place, list[_Pair]] = {place: [] for place in PLACES}
        self._seen: set[tuple[int, int]] = set()
        self._visits: dict[tuple[int, int], int] = {}

    @property
    def is_exhausted(self) -> bool:
        """Whether every place has all its pairs."""
        return self._pool.is_exhausted and all(
            len(self._pairs[place]) >= PAIRS or not self._open_cells(place) for place in PLACES
        )

    def step(self) -> None:
        """Measure a few more pairs of each place."""
        for place in PLACES:
            for _ in range(AT_ONCE):
                cells = self._open_cells(place)
                if cells and len(self._pairs[place]) < PAIRS:
                    self._measure_one(place, cells)

    def _measure_one(self, place: Place, cells: list[Cell]) -> None:
        draw = generator(self._calibration.seed, "pair", self._pool.component, len(self._seen))
        fewest = min(self._visits.get(cell, 0) for cell in cells)
        cells = [cell for cell in cells if self._visits.get(cell, 0) == fewest]
        cell = cells[draw.integers(len(cells))]
        unseen = [pair for pair in self._pairs_of(cell) if pair not in self._seen]
        first, second = unseen[draw.integers(len(unseen))]
        self._visits[cell] = self._visits.get(cell, 0) + 1
        self._seen.add((first, second))
        joint = self._pool.evaluator.cost([self._pool.units[first], self._pool.units[second]])
        self._pairs[place].append(_Pair(first=first, second=second, joint=joint))

    def _open_cells(self, place: Place) -> list[Cell]:
        """Pairs of layers (or layers) in which measured units are left that were not removed together."""
        if self._pool.removable < 2:
            return []
        layers, counts = np.unique(self._pool.layers[self._pool.measured], return_counts=True)
        measured = dict(zip(layers.tolist(), counts.tolist(), strict=True))
        cells = combinations(measured, 2) if place == "across" else ((layer, layer) for layer in measured)
        return [cell for cell in cells if self._visits.get(cell, 0) < self._possible(cell, measured)]

    def _possible(self, cell: Cell, measured: dict[int, int]) -> int:
        """How many pairs of measured units a cell has; none where a unit must stay and there are but two."""
        first, second = cell
        if first != second:
            return measured[first] * measured[second]
        inside = self._pool.layers == first
        one_must_stay = (
            inside.sum() == 2 and not (self._pool.homes[~inside] == self._pool.homes[inside][0]).any()
        )
        return 0 if one_must_stay else measured[first] * (measured[first] - 1) // 2

    def _pairs_of(self, cell: Cell) -> list[tuple[int, int]]:
        first, second = (
            [position for position in sorted(self._pool.measured) if self._pool.layers[position] == layer]
            for layer in cell
        )
        return list(combinations(first, 2)) if cell[0] == cell[1] else list(product(first, second))

    def widths(self) -> list[Estimate]:
        """Return every normalised interaction that can be measured."""
        more = {place: bool(self._open_cells(place)) or not self._pool.is_exhausted for place in PLACES}
        return [
            NOTHING if found.n_pairs < FEWEST and more[found.place] else found.normalised
            for found in self.interactions()
            if found.n_pairs or more[found.place]
        ]

    def interactions(self) -> Iterator[Interaction]:
        """Yield the figures of each objective and place; none within a layer where layers are the units."""
        for objective in self._pool.evaluator.objectives:
            for place in PLACES:
                if place == "within" and self._pool.component == "layer":
                    continue
                pairs = self._pairs[place]
                found = (NOTHING,) * 3
                if pairs:
                    draws = self._calibration.draws(len(pairs), f"pairs/{self._pool.component}/{place}")
                    statistics = interaction(*self._tables(objective, pairs), draws)
                    first, second, third = map(estimate_of, statistics)
                    found = (first, second, third)
                yield Interaction(
                    component=self._pool.component,
                    objective=objective,
                    place=place,
                    mean=found[0],
                    normalised=found[1],
                    signed=found[2],
                    n_pairs=len(pairs),
                )

    def maps(self) -> Iterator[InteractionMap]:
        """Yield the layer-by-layer map of each objective."""
        n_layers = len(self._pool.evaluator.bound.layers)
        pairs = [pair for place in PLACES for pair in self._pairs[place]]
        layers = self._pool.layers
        cells = [sorted((int(layers[pair.first]), int(layers[pair.second]))) for pair in pairs]
        for objective in self._pool.evaluator.objectives:
            size, signed = (np.full((n_layers, n_layers), np.nan) for _ in range(2))
            counts = np.zeros((n_layers, n_layers), dtype=np.int64)
            joint, first, second = (table[:, :1] for table in self._tables(objective, pairs))
            for one, other in {tuple(cell) for cell in cells}:
                own = np.array([cell == [one, other] for cell in cells])
                draws = np.full((own.sum(), 1), 1.0 / own.sum())
                _, cell_size, cell_signed = interaction(joint[own], first[own], second[own], draws)
                for place in ((one, other), (other, one)):
                    size[place], signed[place], counts[place] = cell_size[0], cell_signed[0], own.sum()
            yield InteractionMap(
                component=self._pool.component,
                objective=objective,
                normalised=tuple(map(tuple, size.tolist())),
                signed=tuple(map(tuple, signed.tolist())),
                n_pairs=tuple(map(tuple, counts.tolist())),
            )

    def _tables(self, objective: Objective, pairs: list[_Pair]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """D({i,j}), D({i}) and D({j}) in every column."""
        index, weights = self._calibration.objective_index(objective), self._calibration.weights
        if not pairs:
            return (np.zeros((0, weights.shape[1])),) * 3
        row = {position: number for number, position in enumerate(self._pool.measured)}
        singles = self._pool.costs(index) @ weights
        joint = np.stack([pair.joint[index] for pair in pairs]) @ weights
        first = singles[[row[pair.first] for pair in pairs]]
        return joint, first, singles[[row[pair.second] for pair in pairs]]
