"""Judging encoders without a task: how near their embeddings stay to the dense model's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.core.errors import ConfigError, DataError
from secateur.core.seeds import derive
from secateur.models.attributes import config_of
from secateur.models.calls import Batch, rows, run
from secateur.models.pooling import FIRST, LAST, MEAN, POOLING, modules_of
from secateur.tasks.figures import EmbeddingFigures
from secateur.tasks.names import ObjectiveName, ScoreName
from secateur.tasks.objective import Objective, SummedLoss, Tally, weighted_mean
from secateur.tasks.precision import scoring_autocast
from secateur.tasks.sample_judges import LOSS, SCORE, SampleJudge


def pooled(model: nn.Module, batch: Batch) -> Tensor:
    """Return the embeddings of texts, float32 (B, width), made as the model's folder tells.

    Pooled as its configuration says, then through the modules that follow the pooling.

    Raises
    ------
    ConfigError
        If the model gives no hidden states of tokens, or makes embeddings of them in a way that is not
        computed here.
    """
    base: Any = model.base_model
    states = getattr(run(base, batch), "last_hidden_state", None)
    if states is None:
        raise ConfigError(f"{type(model).__name__} gives no hidden states of tokens; give an encoder.")
    mask = batch.get("attention_mask", torch.ones_like(batch["input_ids"])).to(states.device)
    embeddings = pool(states, mask, getattr(config_of(model), POOLING, MEAN))
    return modules_of(model).projection.to(states.device)(embeddings)


def pool(states: Tensor, mask: Tensor, pooling: str = MEAN) -> Tensor:
    """Return one embedding of each text from the states (B, T, hidden) of its tokens, float32 (B, hidden).

    Parameters
    ----------
    states : Tensor, shape (B, T, hidden)
    mask : Tensor, shape (B, T)
        0 at padding, which may stand on either side.
    pooling : str
        See :func:`secateur.models.pooling.read_pooling`.

    Raises
    ------
    ConfigError
        If it is another than the mean, the first token and the last.
    """
    states = states.float()
    if pooling == MEAN:
        weights = mask.to(states)[..., None]
        return (states * weights).sum(dim=1) / weights.sum(dim=1)
    if pooling not in (FIRST, LAST):
        raise ConfigError(
            f"this model makes its embeddings by '{pooling}'; only {MEAN}, {FIRST} and {LAST} are computed "
            "here."
        )
    counted = mask.long()
    if pooling == LAST:
        counted = counted * torch.arange(1, mask.shape[1] + 1, device=mask.device)
    place = counted.argmax(dim=1)[:, None, None].expand(-1, 1, states.shape[2])
    return states.gather(1, place)[:, 0]


class ByEmbedding:
    """Change of the mean-pooled embedding, for an encoder without a task.

    The distance is half the squared change over the variance of the dense embeddings over all samples: were
    embeddings Gaussian with that isotropic variance, it would be the KL between the two, up to the factor of
    their dimension. The score is the cosine between both embeddings. There is no loss (NaN).
    """

    score_name: ScoreName = "cosine"
    has_loss = False

    def __init__(self) -> None:
        self._dense: list[Tensor] = []

    def remember(self, model: nn.Module, batch: Batch) -> Tensor:
        """See :class:`SampleJudge`."""
        self._dense.append(pooled(model, batch).double())
        figures = torch.zeros(3, len(self._dense[-1]), dtype=torch.float64)
        figures[LOSS], figures[SCORE] = torch.nan, 1.0
        return figures

    def judge(self, model: nn.Module, number: int, batch: Batch) -> Tensor:
        """See :class:`SampleJudge`."""
        dense, answer = self._dense[number], pooled(model, batch).double()
        distance = 0.5 * (answer - dense).square().sum(dim=-1) / self._variance
        cosine = functional.cosine_similarity(answer, dense, dim=-1)
        return torch.stack([torch.full_like(cosine, torch.nan), distance, cosine]).cpu()

    @property
    def _variance(self) -> Tensor:
        embeddings = torch.cat(self._dense)
        if not (found := embeddings.var(dim=0, correction=0).sum()) > 0:
            raise DataError(
                f"the dense model gives the {len(embeddings)} texts of the calibration one and the same "
                "embedding, so that no change of it can be judged; give texts that differ in their tokens."
            )
        return found


class Embedding(Objective):
    """One less the cosine between a sentence's embedding and the dense model's embedding of it."""

    name: ObjectiveName = "embedding"
    rounds = True
    learns_alone = False
    predicts_tokens = False

    def backward(
        self, model: nn.Module, batch: Batch, loss: SummedLoss, *, seed: int, first: int = 0
    ) -> None:
        """Run the mean-pooled embeddings, each times a random direction of its own, backwards.

        For a model that predicts nothing. The gradient of this sum with respect to a gate is that of the
        embedding along the direction; its square, over random directions, is on average the squared change
        of the embedding that the gate makes to first order (Hutchinson's estimator of the Jacobian's norm).
        """
        del loss
        with scoring_autocast(next(model.parameters()).device, rounds=self.rounds):
            embeddings = pooled(model, batch)
            directions = [
                torch.randn(
                    embeddings.shape[1],
                    generator=torch.Generator().manual_seed(derive(seed, "directions", first + row)),
                )
                for row in range(len(embeddings))
            ]
            found = (embeddings * torch.stack(directions).to(embeddings.device)).sum()
        found.backward()

    def reference(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the embeddings."""
        return pooled(model, batch)

    def tally(self, model: nn.Module, batch: Batch, reference: Tensor | None = None) -> Tally:
        """See :class:`Objective`; also ``cosine``."""
        found = pooled(model, batch).double()
        own = found if reference is None else reference.to(found)
        cosine = functional.cosine_similarity(found, own, dim=-1).cpu()
        weight = torch.ones_like(cosine)
        return {
            "loss": torch.zeros_like(cosine),
            "divergence": 1 - cosine,
            "weight": weight,
            "cosine": cosine,
        }

    def sample_judge(self) -> SampleJudge:
        """See :class:`Objective`."""
        return ByEmbedding()

    def figures(self, tally: Tally, *, parameters: int) -> EmbeddingFigures:
        """See :class:`Objective`."""
        distance = max(weighted_mean(tally, "divergence"), 0.0)
        return EmbeddingFigures(
            parameters=parameters, loss=distance, kl=distance, similarity=weighted_mean(tally, "cosine")
        )

    def training_loss(
        self, model: nn.Module, batch: Batch, teacher: nn.Module | None, *, weight: float, temperature: float
    ) -> Tensor:
        """Return the mean distance to the teacher's embeddings, whatever the weight and the temperature.

        Raises
        ------
        ConfigError
            If there is no teacher.
        """
        del weight, temperature
        if teacher is None:
            raise ConfigError(
                "an encoder without a task learns from the dense model alone; give it as the teacher."
            )
        with torch.no_grad():
            taught = pooled(teacher.to(batch["input_ids"].device), batch)
        return 1 - functional.cosine_similarity(pooled(model, batch), taught, dim=-1).mean()

    def predictions_in(self, batch: Batch) -> int:
        """See :class:`Objective`."""
        return rows(batch)

    def rows_at_once(self, model: nn.Module, length: int, *, logit_bytes: int) -> int:
        """There are no logits."""
        del model, length
        return logit_bytes
