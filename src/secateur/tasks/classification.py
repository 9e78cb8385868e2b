"""Judging classifiers, of windows of vibration or of texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.models.calls import Batch, rows, run
from secateur.tasks.figures import ClassFigures
from secateur.tasks.names import ObjectiveName
from secateur.tasks.objective import Objective, SummedLoss, Tally, weighted_mean
from secateur.tasks.precision import scoring_autocast
from secateur.tasks.predictions import labels_of
from secateur.tasks.sample_judges import ByLogits, SampleJudge
from secateur.training import metrics
from secateur.training.distillation import distillation_loss


def task_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy summed over the samples.

    An unlabelled sample (label -1) is judged by the class that the model itself gives it.

    Parameters
    ----------
    logits : Tensor, shape (B, C)
    labels : Tensor of int, shape (B,)

    Returns
    -------
    Tensor, scalar
    """
    labels = labels.to(logits.device)
    if (labels < 0).any():
        labels = torch.where(labels < 0, logits.detach().argmax(dim=-1), labels)
    return functional.cross_entropy(logits, labels, reduction="sum")


class Classification(Objective):
    """Cross-entropy, and KL from the dense model's probabilities.

    Parameters
    ----------
    rounds : bool
        See :class:`secateur.tasks.objective.Objective`; models of windows are small and are scored as they
        are.
    """

    name: ObjectiveName = "classification"
    learns_alone = True
    predicts_tokens = False

    def __init__(self, *, rounds: bool) -> None:
        self.rounds = rounds

    def logits(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the logits in float32, (B, classes)."""
        found = run(model, batch)
        return (found if isinstance(found, Tensor) else found.logits).float()

    def backward(
        self, model: nn.Module, batch: Batch, loss: SummedLoss, *, seed: int, first: int = 0
    ) -> None:
        """See :class:`Objective`."""
        del seed, first
        with scoring_autocast(next(model.parameters()).device, rounds=self.rounds):
            found = loss(self.logits(model, batch), labels_of(batch))
        found.backward()

    def reference(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the logits, which are also the labels of unlabelled samples."""
        return self.logits(model, batch)

    def tally(self, model: nn.Module, batch: Batch, reference: Tensor | None = None) -> Tally:
        """See :class:`Objective`; also ``label``, ``predicted`` and ``agrees``."""
        logits = self.logits(model, batch).double()
        own = logits if reference is None else reference.to(logits.device).double()
        given = labels_of(batch).to(logits.device)
        labels = torch.where(given < 0, own.argmax(dim=-1), given)
        loss = functional.cross_entropy(logits, labels, reduction="none")
        divergence = functional.kl_div(
            logits.log_softmax(-1), own.log_softmax(-1), reduction="none", log_target=True
        ).sum(dim=-1)
        predicted = logits.argmax(dim=-1)
        found = {
            "loss": loss,
            "divergence": divergence,
            "weight": torch.ones_like(loss),
            "label": given,
            "predicted": predicted,
            "agrees": predicted == own.argmax(dim=-1),
        }
        return {name: values.double().cpu() for name, values in found.items()}

    def sample_judge(self) -> SampleJudge:
        """See :class:`Objective`."""
        return ByLogits("accuracy", torch.float64)

    def figures(self, tally: Tally, *, parameters: int) -> ClassFigures:
        """See :class:`Objective`."""
        labels, predicted = (tally[name].long().numpy() for name in ("label", "predicted"))
        counts = metrics.confusion(labels, predicted, int(max(labels.max(), predicted.max())) + 1)
        return ClassFigures(
            parameters=parameters,
            loss=weighted_mean(tally, "loss"),
            kl=max(weighted_mean(tally, "divergence"), 0.0),
            accuracy=metrics.accuracy(counts),
            macro_f1=metrics.macro_f1(counts),
            agreement=weighted_mean(tally, "agrees"),
        )

    def training_loss(
        self, model: nn.Module, batch: Batch, teacher: nn.Module | None, *, weight: float, temperature: float
    ) -> Tensor:
        """See :class:`Objective`."""
        if teacher is None or weight == 0:
            return functional.cross_entropy(self.logits(model, batch), batch["label"])
        with torch.no_grad():
            taught = self.logits(teacher.to(batch["label"].device), batch)
        return distillation_loss(
            self.logits(model, batch), taught, batch["label"], weight=weight, temperature=temperature
        )

    def predictions_in(self, batch: Batch) -> int:
        """See :class:`Objective`."""
        return rows(batch)

    def rows_at_once(self, model: nn.Module, length: int, *, logit_bytes: int) -> int:
        """A handful of classes is no matter of memory."""
        del model, length
        return logit_bytes
