"""Passes of a model over calibration batches: backwards for scores, forwards for losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from secateur.models.calls import Batch, rows
from secateur.models.frozen import frozen
from secateur.tasks.classification import task_loss
from secateur.tasks.kinds import objective_of
from secateur.tasks.objective import Reference, SummedLoss, tally_of
from secateur.tasks.precision import rounded_weights


def backward_passes(
    model: nn.Module, batches: Iterable[Batch], loss: SummedLoss = task_loss, *, seed: int
) -> int:
    """Run batch after batch forwards, and what units are scored by backwards; return the samples.

    That is ``loss`` of what the model predicts, and of an encoder without a task the response of its
    embedding. No parameter gets a gradient: hooks on activations see theirs.
    """
    objective, samples = objective_of(model), 0
    with frozen(model), torch.enable_grad(), rounded_weights(model, rounds=objective.rounds):
        for batch in batches:
            objective.backward(model, batch, loss, seed=seed, first=samples)
            samples += rows(batch)
    return samples


@torch.no_grad()
def references_of(model: nn.Module, batches: Iterable[Batch]) -> list[Reference]:
    """Return what is kept of a model's answers, batch by batch, to measure others against."""
    objective = objective_of(model)
    with frozen(model):
        return [objective.reference(model, batch) for batch in batches]


def sample_losses(
    model: nn.Module, batches: Iterable[Batch], references: Sequence[Reference] | None = None
) -> torch.Tensor:
    """Loss of each sample, plus its divergence from the reference where one is given.

    Parameters
    ----------
    model : nn.Module
    batches : iterable of dict
        Calibration batches.
    references : sequence of Reference, optional
        Of the dense model on the same batches; for classifiers also the labels of unlabelled samples.

    Returns
    -------
    Tensor of float64, shape (samples,)
    """
    tally = tally_of(objective_of(model), model, batches, references)
    return tally["loss"] + tally["divergence"]
