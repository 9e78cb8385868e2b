"""Judging causal language models, on running text or on the answers to prompts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secateur.core.errors import ConfigError
from secateur.models.calls import Batch, run
from secateur.tasks.figures import TextFigures
from secateur.tasks.names import ObjectiveName
from secateur.tasks.objective import Objective, SummedLoss, Tally, weighted_mean
from secateur.tasks.sample_judges import ByLogits, SampleJudge
from secateur.tasks.token_backward import backward_from_tokens
from secateur.tasks.token_losses import counted_pieces, next_token_loss, next_tokens, rows_at_once

KEPT = 128
"""Tokens of each dense answer that are kept; all others count as one."""


@dataclass(frozen=True, kw_only=True)
class LikeliestTokens:
    """The likeliest tokens of a dense model at each place: what divergences are measured against.

    Attributes
    ----------
    log_probabilities : Tensor of float32, shape (B, T - 1, kept)
        The likeliest first.
    tokens : Tensor of int32, shape (B, T - 1, kept)
    """

    log_probabilities: Tensor
    tokens: Tensor


class NextToken(Objective):
    """Mean negative log-likelihood of a token, and KL from the dense model's probabilities.

    The KL is that between the 128 tokens which the dense model holds likeliest and all others as one outcome.
    By the data-processing inequality it is at most the KL over the whole vocabulary, of which it misses next
    to nothing, and its reference takes a kilobyte a token where whole logits take 200.
    """

    name: ObjectiveName = "language"
    rounds = True
    learns_alone = True
    predicts_tokens = True

    def backward(
        self, model: nn.Module, batch: Batch, loss: SummedLoss, *, seed: int, first: int = 0
    ) -> None:
        """See :class:`Objective`."""
        del seed, first
        backward_from_tokens(model, batch, loss)

    def reference(self, model: nn.Module, batch: Batch) -> LikeliestTokens:
        """See :class:`Objective`."""
        logits = run(model, batch).logits[:, :-1]
        kept = min(KEPT, logits.shape[-1])
        log_probabilities = torch.empty(*logits.shape[:-1], kept)
        tokens = torch.empty(*logits.shape[:-1], kept, dtype=torch.int32)
        for row, places in counted_pieces(next_tokens(batch)):
            values, chosen = logits[row, places].float().log_softmax(-1).topk(kept, dim=-1)
            log_probabilities[row, places] = values.cpu()
            tokens[row, places] = chosen.int().cpu()
        return LikeliestTokens(log_probabilities=log_probabilities, tokens=tokens)

    def tally(self, model: nn.Module, batch: Batch, reference: LikeliestTokens | None = None) -> Tally:
        """See :class:`Objective`; ``loss`` and ``divergence`` are means over the tokens of a sample.

        Also ``agrees``: the share of places at which the likeliest token is the dense model's.
        """
        logits, targets = run(model, batch).logits, next_tokens(batch)
        counts = (targets >= 0).sum(dim=1).double()
        sums = {
            name: torch.zeros(len(targets), dtype=torch.float64) for name in ("loss", "divergence", "agrees")
        }
        for row, places in counted_pieces(targets):
            log_p = logits[row, places].float().log_softmax(-1)
            wanted = targets[row, places, None].to(log_p.device)
            sums["loss"][row] -= float(log_p.gather(1, wanted).double().sum())
            if reference is None:
                sums["agrees"][row] += len(log_p)
                continue
            tokens = reference.tokens[row, places].long().to(log_p.device)
            log_q = reference.log_probabilities[row, places].to(log_p.device)
            sums["divergence"][row] += float(_divergence(log_q, log_p.gather(1, tokens)))
            sums["agrees"][row] += float((log_p.argmax(dim=-1) == tokens[:, 0]).sum())
        means = {name: values / counts.clamp(min=1) for name, values in sums.items()}
        return {**means, "weight": counts}

    def sample_judge(self) -> SampleJudge:
        """See :class:`Objective`."""
        return ByLogits("perplexity_ratio", torch.float32)

    def figures(self, tally: Tally, *, parameters: int) -> TextFigures:
        """See :class:`Objective`."""
        loss = weighted_mean(tally, "loss")
        return TextFigures(
            parameters=parameters,
            loss=loss,
            kl=max(weighted_mean(tally, "divergence"), 0.0),
            perplexity=math.exp(min(loss, 700.0)),
            agreement=weighted_mean(tally, "agrees"),
        )

    def training_loss(
        self, model: nn.Module, batch: Batch, teacher: nn.Module | None, *, weight: float, temperature: float
    ) -> Tensor:
        """See :class:`Objective`.

        Raises
        ------
        ConfigError
            If the teacher has another vocabulary.
        """
        logits, targets = run(model, batch).logits, next_tokens(batch)
        if teacher is None or weight == 0:
            return next_token_loss(logits, targets)
        with torch.no_grad():
            taught = run(teacher.to(logits.device), batch).logits
        if taught.shape != logits.shape:
            raise ConfigError(
                f"the model has a vocabulary of {logits.shape[-1]} tokens, its teacher one of "
                f"{taught.shape[-1]}; cut the teacher's vocabulary alike, or cut the vocabulary after the "
                "recovery."
            )
        return next_token_loss(logits, targets, taught, weight=weight, temperature=temperature)

    def predictions_in(self, batch: Batch) -> int:
        """See :class:`Objective`."""
        return int((next_tokens(batch) >= 0).sum())

    def rows_at_once(self, model: nn.Module, length: int, *, logit_bytes: int) -> int:
        """See :class:`Objective`."""
        return rows_at_once(model, length, logit_bytes=logit_bytes)


def _divergence(log_q: Tensor, log_p: Tensor) -> Tensor:
    """Sum over places of the KL between kept tokens and the rest as one outcome."""
    log_q, log_p = log_q.double(), log_p.double()
    kept = (log_q.exp() * (log_q - log_p)).sum()
    rest_q, rest_p = (1 - values.exp().sum(dim=-1) for values in (log_q, log_p))
    rest_q, rest_p = rest_q.clamp_min(1e-12), rest_p.clamp_min(1e-12)
    return kept + (rest_q * (rest_q.log() - rest_p.log())).sum()
