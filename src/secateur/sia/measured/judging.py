"""What one pass says of each calibration sample: its loss, its distance to the dense answer, its score."""

from __future__ import annotations

from typing import ClassVar, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.core.errors import ConfigError
from secateur.models.calls import Batch, rows
from secateur.sia.measured.measurement import ScoreName, Task
from secateur.tasks.embedding import pooled
from secateur.tasks.kinds import objective_of
from secateur.tasks.predictions import Predictions, predictions

LOSS, DIVERGENCE, SCORE = range(3)
"""Rows of what a judge returns."""


class Judge(Protocol):
    """Reads per-sample figures off a model.

    Attributes
    ----------
    task : Task
    score_name : ScoreName
    """

    @property
    def task(self) -> Task:
        """What the model is for."""

    @property
    def score_name(self) -> ScoreName:
        """What the third figure is."""

    def remember(self, model: nn.Module, batch: Batch) -> Tensor:
        """Run the dense model on the next batch, keep its answer, and return its figures."""

    def judge(self, model: nn.Module, number: int, batch: Batch) -> Tensor:
        """Run a model on batch ``number`` and return float64 (3, samples): loss, distance, score."""


class ByLogits:
    """Cross-entropy, KL from the dense model and correctness, for windows or blocks of tokens.

    A sample is a window, or a block of which every token but the first is predicted; then the figures are
    means over its tokens, padding left out. A window without a label (-1) is judged by the dense model's
    answer. The dense answer is kept: 4 bytes a token and entry of the vocabulary.

    Parameters
    ----------
    task : {"classification", "language"}
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.score_name: ScoreName = "accuracy" if task == "classification" else "perplexity_ratio"
        self._precision = torch.float64 if task == "classification" else torch.float32
        self._dense: list[Tensor] = []

    def remember(self, model: nn.Module, batch: Batch) -> Tensor:
        """See :class:`Judge`."""
        answer = predictions(model, batch)
        self._dense.append(answer.logits.to(self._precision).log_softmax(dim=-1))
        return self._figures(answer, self._dense[-1], batch)

    def judge(self, model: nn.Module, number: int, batch: Batch) -> Tensor:
        """See :class:`Judge`."""
        return self._figures(predictions(model, batch), self._dense[number], batch)

    def _figures(self, found: Predictions, dense: Tensor, batch: Batch) -> Tensor:
        answer = found.logits.to(self._precision).log_softmax(dim=-1)
        labels = found.labels.to(answer.device)
        labels = torch.where(labels < 0, dense.argmax(dim=-1), labels)
        loss = functional.nll_loss(answer, labels, reduction="none")
        distance = functional.kl_div(answer, dense, reduction="none", log_target=True).sum(dim=-1)
        right = (answer.argmax(dim=-1) == labels).to(loss.dtype)
        return found.means(torch.stack([loss, distance, right]), rows(batch)).double().cpu()


class ByEmbedding:
    """Change of the mean-pooled embedding, for an encoder without a task.

    The distance is half the squared change over the variance of the dense embeddings over all samples: were
    embeddings Gaussian with that isotropic variance, it would be the KL between the two, up to the factor of
    their dimension. The score is the cosine between both embeddings. There is no loss (NaN).
    """

    task: ClassVar[Task] = "embedding"
    score_name: ClassVar[ScoreName] = "cosine"

    def __init__(self) -> None:
        self._dense: list[Tensor] = []

    def remember(self, model: nn.Module, batch: Batch) -> Tensor:
        """See :class:`Judge`."""
        self._dense.append(pooled(model, batch).double())
        figures = torch.zeros(3, len(self._dense[-1]), dtype=torch.float64)
        figures[LOSS], figures[SCORE] = torch.nan, 1.0
        return figures

    def judge(self, model: nn.Module, number: int, batch: Batch) -> Tensor:
        """See :class:`Judge`."""
        dense, answer = self._dense[number], pooled(model, batch).double()
        distance = 0.5 * (answer - dense).square().sum(dim=-1) / self._variance
        cosine = functional.cosine_similarity(answer, dense, dim=-1)
        return torch.stack([torch.full_like(cosine, torch.nan), distance, cosine]).cpu()

    @property
    def _variance(self) -> Tensor:
        return torch.cat(self._dense).var(dim=0, correction=0).sum()


def judge_for(model: nn.Module, batch: Batch) -> Judge:
    """Return the judge of a model's task.

    Raises
    ------
    ConfigError
        If the batch holds neither windows nor tokens.
    """
    if not set(getattr(model, "input_names", ("input_ids",))) <= set(batch):
        raise ConfigError(
            f"a calibration batch holds {', '.join(sorted(batch))}; needed are windows (waveform, "
            "shaft_rate_hz, fault_orders, label) or tokens (input_ids, attention_mask where padded)."
        )
    name = cast("Task", objective_of(model).name)
    return ByEmbedding() if name == "embedding" else ByLogits(name)
