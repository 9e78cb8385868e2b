"""D(S): what the removal of a set of units costs each calibration sample."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeGuard, get_args

import numpy as np
import torch
from torch import nn

from secateur.core.errors import ConfigError
from secateur.models.binding import BoundModel, bind
from secateur.models.calls import Batch
from secateur.models.frozen import frozen
from secateur.models.resuming import Streams
from secateur.scoring.matrices import MatrixCriterion
from secateur.sia.measured.gating import removed
from secateur.sia.measured.measurement import Objective
from secateur.structure.units import Unit
from secateur.tasks.kinds import objective_of
from secateur.tasks.names import ObjectiveName
from secateur.tasks.sample_judges import SCORE, SampleJudge


class Evaluator:
    """A dense model and its calibration samples, ready to be asked for D(S) again and again.

    Parameters
    ----------
    model : nn.Module
        A Diagnoser, a causal language model, or an encoder; left as it is.
    batches : sequence of dict
        Calibration batches, held in memory.

    Attributes
    ----------
    bound : BoundModel
        Its binding.
    batches : tuple of dict
        As given.
    judged : ObjectiveName
        What the model is judged on.
    judge : SampleJudge
        How.
    objectives : tuple of Objective
        What D(S) can be measured in.
    dense : ndarray of float64, shape (3, samples)
        Loss, distance (0) and score of the dense model.
    n_evaluations : int
        Passes over all samples so far; scoring by a criterion counts its passes too.
    """

    def __init__(self, model: nn.Module, batches: Sequence[Batch]) -> None:
        if not batches:
            raise ConfigError("removals are measured on calibration samples; none was given.")
        if not set(getattr(model, "input_names", ("input_ids",))) <= set(batches[0]):
            raise ConfigError(
                f"a calibration batch holds {', '.join(sorted(batches[0]))}; needed are windows (waveform, "
                "shaft_rate_hz, fault_orders, label) or tokens (input_ids, attention_mask where padded)."
            )
        objective = objective_of(model)
        self.model, self.batches = model, tuple(batches)
        self.bound: BoundModel = bind(model)
        self.judged: ObjectiveName = objective.name
        self.judge: SampleJudge = objective.sample_judge()
        self.objectives: tuple[Objective, ...] = (
            ("loss", "divergence") if self.judge.has_loss else ("divergence",)
        )
        self._streams = Streams(self.bound)
        self.dense = self._measure_dense()
        self.n_evaluations = 1

    @property
    def n_samples(self) -> int:
        """Windows, or blocks of tokens."""
        return self.dense.shape[1]

    @torch.no_grad()
    def _measure_dense(self) -> np.ndarray:
        figures = []
        with frozen(self.model):
            for batch in self.batches:
                with self._streams.recording(len(self.batches)):
                    figures.append(self.judge.remember(self.model, batch))
        return torch.cat(figures, dim=1).numpy()

    @torch.no_grad()
    def figures(self, units: Iterable[Unit]) -> np.ndarray:
        """Return loss, distance and score of each sample without these units, float64 (3, samples)."""
        units = tuple(units)
        first = min((unit.layer for unit in units), default=0)
        found = []
        with (
            frozen(self.model),
            removed(self.bound, units),
            self._streams.resumed(first) as choose,
        ):
            for number, batch in enumerate(self.batches):
                choose(number)
                found.append(self.judge.judge(self.model, number, batch))
        self.n_evaluations += 1
        return torch.cat(found, dim=1).numpy()

    @torch.no_grad()
    def figures_of(self, model: nn.Module) -> np.ndarray:
        """Return the same of another model, such as a cut one, held against this dense one."""
        with frozen(model):
            found = [self.judge.judge(model, number, batch) for number, batch in enumerate(self.batches)]
        self.n_evaluations += 1
        return torch.cat(found, dim=1).numpy()

    def can_score_matrices(self, criterion: str) -> TypeGuard[MatrixCriterion]:
        """Whether a criterion is defined for a matrix alone, and for this model: some look at a loss."""
        known = criterion in get_args(MatrixCriterion)
        return known and (criterion != "taylor" or "loss" in self.objectives)

    def increase(self, figures: np.ndarray) -> np.ndarray:
        """Return what figures cost against the dense model, float64 (2, samples): loss, distance."""
        return (figures - self.dense)[:SCORE]

    def cost(self, units: Iterable[Unit]) -> np.ndarray:
        """Return D(S) of each sample, float64 (2, samples): increase in loss, distance to dense."""
        return self.increase(self.figures(units))

    @contextmanager
    def without(self, units: Iterable[Unit]) -> Iterator[None]:
        """Take units out for a while, for others (criteria) to look at the model."""
        with removed(self.bound, units):
            yield
