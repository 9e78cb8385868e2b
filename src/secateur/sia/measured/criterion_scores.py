"""Scores of a criterion, kept apart for parts of the calibration set, so that they can be resampled."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from secateur.core.seeds import derive
from secateur.models.calls import Batch, rows
from secateur.scoring.registered import CRITERIA
from secateur.scoring.scores import Criterion, Scores
from secateur.sia.components import Component
from secateur.sia.measured.evaluation import Evaluator
from secateur.structure.units import Unit

CHUNKS = 16
"""Parts of the calibration set that are scored one by one, at least (where there are as many samples)."""

AVERAGED = ("taylor", "activation")
"""Criteria whose score is a mean over samples; of others the mean over parts is not that of the whole."""

PASSES = {"nothing": 0, "weights": 0, "activations": 1, "gradients": 3}
"""Passes over the calibration set that a criterion costs, a backward one counted twice."""


class ScoreTables:
    """Scores by parts of the calibration set, for the dense model or one with units taken out.

    Parameters
    ----------
    evaluator : Evaluator
    seed : int

    Attributes
    ----------
    chunks : tuple of dict
        The calibration set in parts.
    """

    def __init__(self, evaluator: Evaluator, *, seed: int) -> None:
        self._evaluator, self._seed = evaluator, seed
        self.chunks = tuple(_chunks(evaluator.batches))
        self._sizes = np.array([rows(chunk) for chunk in self.chunks])
        self._dense: dict[str, list[Scores]] = {}
        self._whole: dict[str, Scores] = {}

    def chunk_weights(self, sample_weights: np.ndarray) -> np.ndarray:
        """Turn weights of samples (samples, columns) into weights of the chunks (chunks, columns)."""
        edges = np.concatenate([[0], np.cumsum(self._sizes)])
        return np.add.reduceat(sample_weights, edges[:-1], axis=0)

    def scores(self, criterion: str, component: Component, without: Iterable[Unit] = ()) -> np.ndarray | None:
        """Return the scores of every unit of a component from each chunk.

        Parameters
        ----------
        criterion : str
            Its registered name.
        component : {"layer", "group", "head", "channel"}
            The score of a layer is the sum over its groups and channels.
        without : iterable of Unit
            Taken out while scoring.

        Returns
        -------
        ndarray of float64, shape (chunks, units), or None
            One row for a criterion that looks at no sample. None for layers where the criterion's numbers for
            groups and channels cannot be added.
        """
        chosen: Criterion = CRITERIA.get(criterion)()
        without = tuple(without)
        if without:
            with self._evaluator.without(without):
                found = self._score(chosen)
        else:
            if criterion not in self._dense:
                self._dense[criterion] = self._score(chosen)
            found = self._dense[criterion]
        if component == "layer" and not found[0].comparable:
            return None
        return np.stack([_of_component(scores, component) for scores in found])

    def whole(self, criterion: str, component: Component) -> np.ndarray:
        """Return the scores of every unit from the whole calibration set, float64 (units,)."""
        if criterion in AVERAGED or not self.depends_on_samples(criterion):
            table = self.scores(criterion, component)
            assert table is not None, "layers are chosen by criteria that add up"
            return np.average(table, axis=0, weights=self._sizes if len(table) == len(self._sizes) else None)
        if criterion not in self._whole:
            self._evaluator.n_evaluations += self.passes(criterion)
            self._whole[criterion] = CRITERIA.get(criterion)().score(
                self._evaluator.model, self._evaluator.bound, self._evaluator.batches, seed=self._seed
            )
        return _of_component(self._whole[criterion], component)

    def passes(self, criterion: str) -> int:
        """Return the passes over the calibration set that a criterion costs."""
        return PASSES[CRITERIA.get(criterion).needs]

    def depends_on_samples(self, criterion: str) -> bool:
        """Whether a criterion looks at activations or gradients, and so at the rest of the model."""
        return self.passes(criterion) > 0

    def _score(self, criterion: Criterion) -> list[Scores]:
        model, bound = self._evaluator.model, self._evaluator.bound
        self._evaluator.n_evaluations += PASSES[criterion.needs]
        if not PASSES[criterion.needs]:
            return [criterion.score(model, bound, self.chunks[:1], seed=self._seed)]
        # an encoder is scored along random directions: other ones for each part, the same after a removal
        return [
            criterion.score(model, bound, [chunk], seed=derive(self._seed, "part", number))
            for number, chunk in enumerate(self.chunks)
        ]


def _of_component(scores: Scores, component: Component) -> np.ndarray:
    if component == "layer":
        sums = zip(scores.groups, scores.channels, strict=True)
        return np.array([groups.sum() + channels.sum() for groups, channels in sums])
    assert component != "matrix", "a matrix is no unit"
    return np.concatenate(scores.of(component))


def _chunks(batches: Iterable[Batch]) -> Iterable[Batch]:
    batches = tuple(batches)
    parts = -(-CHUNKS // len(batches))
    for batch in batches:
        for indices in torch.arange(rows(batch)).tensor_split(min(parts, rows(batch))):
            yield {name: value[indices[0] : indices[-1] + 1] for name, value in batch.items()}
