"""What matrices that share a unit would each keep, and how far their choices overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from secateur.scoring.matrices import MatrixCriterion
from secateur.sia.components import Component, ffn_roles
from secateur.sia.measured.bootstrap import estimate_of, resampling_weights
from secateur.sia.measured.estimators import chance_jaccard, jaccard
from secateur.sia.measured.matrix_tables import MatrixTables
from secateur.sia.measured.measurement import Agreement, Estimate
from secateur.sia.measured.quantities import Calibration
from secateur.structure.counting import stack_spec
from secateur.structure.spec import Role

KEPT_FRACTION = 0.5
SHARED_BY: dict[Component, Component] = {"matrix": "channel", "group": "group", "head": "group"}
"""The closed unit whose matrices are compared for a component; others have nothing to compare."""


class MatrixAgreement:
    """Scores each matrix alone, once a criterion, and compares what they would keep.

    Parameters
    ----------
    calibration : Calibration
    tables : MatrixTables
    shared : {"channel", "group"}
        The unit that the matrices share. For groups the choice of query heads (``q``) is held against that of
        key/value heads (``k``), told in query heads; only where several share a key and value.
    criteria : sequence of str
        Those that can score a matrix are used.
    """

    def __init__(
        self, calibration: Calibration, tables: MatrixTables, shared: Component, criteria: Sequence[str]
    ) -> None:
        self._calibration, self._tables, self._shared = calibration, tables, shared
        bound = calibration.evaluator.bound
        self._shape = bound.shape
        self._roles: tuple[Role, ...] = (
            ffn_roles(stack_spec(bound.spec.family, self._shape, 0)) if shared == "channel" else ("q", "k")
        )
        self._layers = [
            layer
            for layer in range(self._shape.n_layers)
            if shared == "channel" or self._shape.heads_per_group(layer) > 1
        ]
        self._waiting: list[MatrixCriterion] = (
            [name for name in criteria if tables.can_score(name)] if self._layers else []
        )
        self._known: list[MatrixCriterion] = []

    @property
    def is_exhausted(self) -> bool:
        """Whether all criteria were asked."""
        return not self._waiting

    def step(self) -> None:
        """Let every matrix choose by one more criterion."""
        if self._waiting:
            criterion = self._waiting.pop(0)
            self._tables.scores(criterion)
            self._known.append(criterion)

    def widths(self) -> list[Estimate]:
        """Return none: the number of layers and samples is given."""
        return []

    def agreements(self) -> Iterator[Agreement]:
        """Yield one figure for each criterion."""
        pairs = list(combinations(self._roles, 2))
        for criterion in self._known:
            overlaps = np.stack([self._overlaps(criterion, layer) for layer in self._layers])
            layer_weights = resampling_weights(
                len(self._layers),
                seed=self._calibration.seed,
                name=f"layers/{self._shared}",
                replicates=overlaps.shape[2] - 1,
            )
            by_pair = (overlaps * layer_weights[:, None]).sum(axis=0)
            chances = [chance_jaccard(*self._counts(layer)) for layer in self._layers]
            yield Agreement(
                component=self._shared,
                roles=self._roles,
                criterion=criterion,
                kept_fraction=KEPT_FRACTION,
                value=estimate_of(by_pair.mean(axis=0)),
                by_layer=tuple(estimate_of(overlap.mean(axis=0)) for overlap in overlaps),
                by_pair={
                    f"{first}-{second}": estimate_of(values)
                    for (first, second), values in zip(pairs, by_pair, strict=True)
                },
                chance=float(np.mean(chances)),
            )

    def _counts(self, layer: int) -> tuple[int, int]:
        """Units compared in a layer, and how many of them are kept."""
        if self._shared == "channel":
            whole = self._shape.channels_per_layer[layer]
            return whole, max(1, round(KEPT_FRACTION * whole))
        groups, sharing = self._shape.kv_groups_per_layer[layer], self._shape.heads_per_group(layer)
        return groups * sharing, max(1, round(KEPT_FRACTION * groups)) * sharing

    def _overlaps(self, criterion: MatrixCriterion, layer: int) -> np.ndarray:
        """Jaccard of each pair of matrices in each column, (pairs, columns)."""
        whole, kept = self._counts(layer)
        choices = {}
        for role in self._roles:
            scores = self._tables.resampled(criterion, layer, role)
            sharing = whole // len(scores)
            chosen = best(scores, kept // sharing)
            choices[role] = np.repeat(chosen, sharing, axis=0)
        return np.stack(
            [jaccard(choices[first], choices[second]) for first, second in combinations(self._roles, 2)]
        )


def best(scores: np.ndarray, kept: int) -> np.ndarray:
    """Return which units each column of (units, columns) keeps, as truth values; ties go to the earlier."""
    order = np.argsort(-scores, axis=0, kind="stable")
    found = np.zeros(scores.shape, dtype=bool)
    np.put_along_axis(found, order[:kept], True, axis=0)
    return found
