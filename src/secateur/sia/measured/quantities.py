"""What one quantity is to the scheduler: something that can be measured a little further."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from secateur.sia.measured.bootstrap import resampling_weights
from secateur.sia.measured.criterion_scores import ScoreTables
from secateur.sia.measured.evaluation import Evaluator
from secateur.sia.measured.measurement import Estimate


class Quantity(Protocol):
    """One of the figures of the measured part, for one component."""

    @property
    def is_exhausted(self) -> bool:
        """Whether there is nothing left to draw."""

    def step(self) -> None:
        """Measure a little further: a few evaluations."""

    def widths(self) -> list[Estimate]:
        """Return the estimates whose intervals are to become narrow; none where no draw narrows them."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What all quantities share.

    Parameters
    ----------
    evaluator : Evaluator
    scores : ScoreTables
    weights : ndarray, shape (samples, columns)
        Resampled calibration sets, the same for all quantities.
    seed : int
    """

    evaluator: Evaluator
    scores: ScoreTables
    weights: np.ndarray
    seed: int

    @classmethod
    def of(cls, evaluator: Evaluator, *, seed: int) -> Calibration:
        """Prepare the tables for an evaluator."""
        return cls(
            evaluator=evaluator,
            scores=ScoreTables(evaluator, seed=seed),
            weights=resampling_weights(evaluator.n_samples, seed=seed, name="samples"),
            seed=seed,
        )

    def objective_index(self, objective: str) -> int:
        """Return the row of an objective in what the evaluator returns."""
        return ("loss", "divergence").index(objective)

    def draws(self, n: int, name: str) -> np.ndarray:
        """Return weights of ``n`` drawn things in every column."""
        return resampling_weights(n, seed=self.seed, name=name, replicates=self.weights.shape[1] - 1)
