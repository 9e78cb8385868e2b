"""What a model's answers to a batch are worth: one interface for classifiers, language models, encoders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from secateur.models.calls import Batch
from secateur.tasks.figures import Figures
from secateur.tasks.names import ObjectiveName
from secateur.tasks.sample_judges import SampleJudge

SummedLoss = Callable[[Tensor, Tensor], Tensor]
"""``loss(logits, labels)`` with (N, classes) and (N,), summed over N."""

Reference = Any
"""What is kept of a dense model's answer to a batch; read by the objective that made it alone."""

Tally = dict[str, Tensor]
"""Figures of each sample, float64 of shape (samples,): ``loss``, ``divergence`` from the reference,
``weight`` (predictions that the sample counts for), and more that the objective's figures need."""


class Objective(Protocol):
    """How one kind of model is judged. Stateless.

    Attributes
    ----------
    name : ObjectiveName
    rounds : bool
        Whether it is scored in bfloat16 where the processor multiplies that in hardware.
    learns_alone : bool
        Whether there is something to learn without a teacher.
    predicts_tokens : bool
        Whether models with other tokenizers can be compared by the bits that they need for a byte of text.
    """

    name: ObjectiveName
    rounds: bool
    learns_alone: bool
    predicts_tokens: bool

    def backward(
        self, model: nn.Module, batch: Batch, loss: SummedLoss, *, seed: int, first: int = 0
    ) -> None:
        """Run what units are scored by backwards, summed over the batch.

        ``first`` counts the samples of earlier batches, so that draws do not depend on the batch size.
        """

    def reference(self, model: nn.Module, batch: Batch) -> Reference:
        """Return what to compare other models' answers to this batch with."""

    def tally(self, model: nn.Module, batch: Batch, reference: Reference | None = None) -> Tally:
        """Judge the answers to one batch; without a reference the divergence is 0."""

    def sample_judge(self) -> SampleJudge:
        """Return a new reader of loss, distance to the dense model and score, sample by sample."""

    def figures(self, tally: Tally, *, parameters: int) -> Figures:
        """Turn the tally of all validation samples into figures."""

    def training_loss(
        self, model: nn.Module, batch: Batch, teacher: nn.Module | None, *, weight: float, temperature: float
    ) -> Tensor:
        """Return the mean loss of a batch to train on, a scalar.

        ``weight`` is the teacher's share, ``temperature`` that of the distillation.
        """

    def predictions_in(self, batch: Batch) -> int:
        """Return over how many predictions the training loss of a batch is a mean."""

    def rows_at_once(self, model: nn.Module, length: int, *, logit_bytes: int) -> int:
        """Return how many samples of so many tokens keep the logits within a number of bytes."""


def joined(tallies: Sequence[Tally]) -> Tally:
    """Return the tally of the samples of all of them, in order."""
    return {name: torch.cat([tally[name] for tally in tallies]) for name in tallies[0]}


def weighted_mean(tally: Tally, name: str) -> float:
    """Return the mean over predictions of one figure of a tally."""
    return float((tally[name] * tally["weight"]).sum() / tally["weight"].sum())


def tally_of(
    objective: Objective,
    model: nn.Module,
    batches: Iterable[Batch],
    references: Sequence[Reference] | None = None,
) -> Tally:
    """Judge a model on several batches, in evaluation mode, without gradients."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        found = [
            objective.tally(model, batch, None if references is None else references[number])
            for number, batch in enumerate(batches)
        ]
    model.train(was_training)
    return joined(found)
