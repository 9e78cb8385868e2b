"""Scores that each matrix gives its own rows, kept apart for parts of the calibration set."""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

from secateur.scoring.matrices import MatrixCriterion, MatrixScores, matrix_scores
from secateur.sia.measured.quantities import Calibration
from secateur.structure.spec import Role


class MatrixTables:
    """Scores of :func:`secateur.scoring.matrices.matrix_scores`, asked for once a criterion.

    Parameters
    ----------
    calibration : Calibration
    """

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration
        self._known: dict[MatrixCriterion, list[MatrixScores]] = {}

    def can_score(self, criterion: str) -> TypeGuard[MatrixCriterion]:
        """Whether a criterion is defined for a matrix alone, and for this model's task."""
        return self._calibration.evaluator.can_score_matrices(criterion)

    def scores(self, criterion: MatrixCriterion) -> list[MatrixScores]:
        """Return the scores from each part of the calibration set; one entry where no sample is looked at."""
        if criterion not in self._known:
            evaluator, tables = self._calibration.evaluator, self._calibration.scores
            chunks = tables.chunks if tables.depends_on_samples(criterion) else tables.chunks[:1]
            evaluator.n_evaluations += tables.passes(criterion)
            self._known[criterion] = [
                matrix_scores(evaluator.model, evaluator.bound, [chunk], criterion=criterion)
                for chunk in chunks
            ]
        return self._known[criterion]

    def resampled(self, criterion: MatrixCriterion, layer: int, role: Role) -> np.ndarray:
        """Return what a matrix scores its units in every resampled calibration set, (units, columns)."""
        table = np.stack([scores[layer][role] for scores in self.scores(criterion)], axis=1)
        weights = self._calibration.scores.chunk_weights(self._calibration.weights)
        if table.shape[1] != len(weights):
            return np.repeat(table, weights.shape[1], axis=1)
        return table @ weights
