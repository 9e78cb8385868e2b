"""What one pass says of each calibration sample: its loss, its distance to the dense answer, its score."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.models.calls import Batch, rows
from secateur.tasks.names import ScoreName
from secateur.tasks.predictions import Predictions, predictions

LOSS, DIVERGENCE, SCORE = range(3)
"""Rows of what a judge returns."""


class SampleJudge(Protocol):
    """Reads per-sample figures off a model.

    Attributes
    ----------
    score_name : ScoreName
        What the third figure is.
    has_loss : bool
        Whether the first figure is one, not NaN.
    """

    score_name: ScoreName
    has_loss: bool

    def remember(self, model: nn.Module, batch: Batch) -> Tensor:
        """Run the dense model on the next batch, keep its answer, and return its figures."""

    def judge(self, model: nn.Module, number: int, batch: Batch) -> Tensor:
        """Run a model on batch ``number`` and return float64 (3, samples): loss, distance, score."""


class ByLogits:
    """Cross-entropy, KL from the dense model and correctness, for windows or blocks of tokens.

    A sample is a window, or a block of which every token but the first is predicted; then the figures are
    means over its tokens, padding left out. A window without a label (-1) is judged by the dense model's
    answer. The dense answer is kept, in the precision of the figures: a number a token and entry of the
    vocabulary.

    Parameters
    ----------
    score_name : ScoreName
    precision : torch.dtype
        In which losses and distances are computed.
    """

    has_loss = True

    def __init__(self, score_name: ScoreName, precision: torch.dtype) -> None:
        self.score_name, self._precision = score_name, precision
        self._dense: list[Tensor] = []

    def remember(self, model: nn.Module, batch: Batch) -> Tensor:
        """See :class:`SampleJudge`."""
        answer = predictions(model, batch)
        self._dense.append(answer.logits.to(self._precision).log_softmax(dim=-1))
        return self._figures(answer, self._dense[-1], batch)

    def judge(self, model: nn.Module, number: int, batch: Batch) -> Tensor:
        """See :class:`SampleJudge`."""
        return self._figures(predictions(model, batch), self._dense[number], batch)

    def _figures(self, found: Predictions, dense: Tensor, batch: Batch) -> Tensor:
        answer = found.logits.to(self._precision).log_softmax(dim=-1)
        labels = found.labels.to(answer.device)
        labels = torch.where(labels < 0, dense.argmax(dim=-1), labels)
        loss = functional.nll_loss(answer, labels, reduction="none")
        distance = functional.kl_div(answer, dense, reduction="none", log_target=True).sum(dim=-1)
        right = (answer.argmax(dim=-1) == labels).to(loss.dtype)
        return found.means(torch.stack([loss, distance, right]), rows(batch)).double().cpu()
