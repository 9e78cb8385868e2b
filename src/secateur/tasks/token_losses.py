"""Losses of predicting the next token, over vocabularies too large to hold several copies of the logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from secateur.models.attributes import vocabulary_size
from secateur.models.calls import Batch, run, token_mask

TOKENS_AT_ONCE = 256
IGNORED = -100
"""In place of a token that is not to be predicted, as everywhere in ``transformers``."""


def next_tokens(batch: Batch) -> Tensor:
    """Return what each place but the last is to predict; :data:`IGNORED` where there is nothing.

    Parameters
    ----------
    batch : mapping
        ``input_ids`` (B, T); ``attention_mask`` where rows are padded; ``labels`` (B, T) where not all tokens
        are to be predicted, such as those of a prompt.

    Returns
    -------
    Tensor of int64, shape (B, T - 1)
    """
    targets = batch.get("labels", batch["input_ids"])[:, 1:]
    present = token_mask(batch)
    return targets if present is None else targets.masked_fill(~(present[:, 1:] & present[:, :-1]), IGNORED)


def rows_at_once(model: nn.Module, length: int, *, logit_bytes: int) -> int:
    """Return how many blocks of ``length`` tokens give float32 logits of so many bytes; at least 1."""
    vocabulary = vocabulary_size(model)
    return max(1, logit_bytes // (4 * length * vocabulary))


def logits_of(model: nn.Module, ids: Tensor) -> Tensor:
    """Return the logits of blocks (B, T), in the type in which the model gives them: (B, T, vocabulary)."""
    return run(model, {"input_ids": ids}).logits


def token_nats(logits: Tensor, ids: Tensor) -> Tensor:
    """Return the negative log-likelihood of each token but the first of each block.

    Parameters
    ----------
    logits : Tensor, shape (B, T, vocabulary)
        Turned to float32 piece by piece.
    ids : Tensor of int64, shape (B, T)

    Returns
    -------
    Tensor of float32, shape (B, T - 1)
    """
    targets, nats = ids[:, 1:], torch.empty(len(ids), ids.shape[1] - 1, device=logits.device)
    for row, tokens in counted_pieces(targets):
        nats[row, tokens] = functional.cross_entropy(
            logits[row, tokens].float(), targets[row, tokens], reduction="none"
        )
    return nats


def next_token_loss(
    logits: Tensor,
    targets: Tensor,
    taught: Tensor | None = None,
    *,
    weight: float = 0.0,
    temperature: float = 1.0,
) -> Tensor:
    """Mean of ``(1 - weight) CE + weight T^2 KL(teacher || student)`` at temperature T over predicted tokens.

    The same as :func:`secateur.training.distillation.distillation_loss` on the flattened tokens. Only the
    gradient is kept beside the logits; everything else is computed for 256 tokens at a time.

    Parameters
    ----------
    logits : Tensor, shape (B, T, vocabulary)
        Of the student.
    targets : Tensor of int64, shape (B, T - 1)
        See :func:`next_tokens`.
    taught : Tensor, shape (B, T, vocabulary), optional
        Logits of the teacher; no gradient flows into them.
    weight : float
        0 learns from the text only, 1 from the teacher only; 0 without a teacher.
    temperature : float
        Softens both distributions; its square keeps the gradient's size.

    Returns
    -------
    Tensor
        Scalar, float32.
    """
    return _NextTokenLoss.apply(logits, targets, taught, 0.0 if taught is None else weight, temperature)


class _NextTokenLoss(torch.autograd.Function):
    """The loss with its gradient in closed form, computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, taught: Tensor | None, weight: float, temperature: float
    ) -> Tensor:
        total = torch.zeros((), device=logits.device)
        gradient = torch.zeros_like(logits) if logits.requires_grad else None
        predicted = max(1, int((targets >= 0).sum()))
        for row, tokens in counted_pieces(targets):
            student, chosen = logits[row, tokens].float(), targets[row, tokens, None]
            # every line passes once over all of the vocabulary, so nothing is computed twice
            log_p, slope = (student if temperature == 1 else student / temperature).log_softmax(-1), None
            if weight > 0 and taught is not None:
                log_q = (taught[row, tokens].float() / temperature).log_softmax(-1)
                q = log_q.exp()
                divergence = torch.dot(q.view(-1), log_q.sub_(log_p).view(-1))
                total += weight * temperature**2 * divergence
                slope = log_p.exp().sub_(q).mul_(weight * temperature)
            if weight < 1:
                log_p = log_p if temperature == 1 else student.log_softmax(-1)
                total -= (1 - weight) * log_p.gather(1, chosen).sum()
                miss = log_p.exp_().scatter_add_(1, chosen, -torch.ones_like(chosen, dtype=log_p.dtype))
                slope = miss.mul_(1 - weight) if slope is None else slope.add_(miss, alpha=1 - weight)
            if gradient is not None and slope is not None:
                gradient[row, tokens] = slope.div_(predicted)
        ctx.save_for_backward(gradient)
        return total / predicted

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * factor.to(gradient.dtype), None, None, None, None


def counted_pieces(targets: Tensor) -> list[tuple[int, Tensor | slice]]:
    """Places that predict a token, in pieces of one row."""
    pieces: list[tuple[int, Tensor | slice]] = []
    for row, wanted in enumerate(targets >= 0):
        places = wanted.nonzero()[:, 0]
        if len(places) == len(wanted):
            starts = range(0, len(wanted), TOKENS_AT_ONCE)
            pieces += [(row, slice(start, min(start + TOKENS_AT_ONCE, len(wanted)))) for start in starts]
        elif len(places):
            pieces += [(row, part) for part in places.split(TOKENS_AT_ONCE)]
    return pieces
