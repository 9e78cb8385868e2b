"""The loss of predicting tokens, run backwards a few positions at a time.

The logits of 256 tokens over 49,152 entries take 50 MB in float32, and what a loss keeps of them several
times that. So the body of the model is run first; then its last states are given to the head in parts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

from secateur.models.calls import Batch, token_inputs, token_mask
from secateur.scoring.precision import scoring_autocast
from secateur.scoring.stand_in import forward_as

LOGIT_BYTES = 12 * 2**20
"""Of the float32 logits of one part."""

SummedLoss = Callable[[Tensor, Tensor], Tensor]


def body_of(model: nn.Module) -> nn.Module:
    """Return the module that a causal language model calls for its last hidden states."""
    base = model.base_model
    return getattr(base, "decoder", base)


def last_states(model: nn.Module, batch: Batch) -> Tensor:
    """Return the last hidden states of a batch of tokens, (B, T, hidden), without computing any logits."""
    body, device = body_of(model), next(model.parameters()).device
    inputs = {name: value.to(device) for name, value in token_inputs(body, batch).items()}
    return body(**inputs, use_cache=False)[0]


def backward_from_tokens(model: nn.Module, batch: Batch, loss: SummedLoss) -> None:
    """Run ``loss(logits, next tokens)`` of a batch backwards; padding neither predicts nor is predicted.

    The gradient is that of the loss of all positions at once, because the loss is a sum over them.

    Parameters
    ----------
    model : nn.Module
        A causal language model without parameter gradients; what is differentiated are its activations.
    batch : mapping
        ``input_ids`` (B, T), and ``attention_mask`` where rows are padded.
    loss : callable
        ``loss(logits, labels)`` with (N, vocabulary) and (N,), summed over N.
    """
    device = next(model.parameters()).device
    with scoring_autocast(batch, device):
        states = last_states(model, batch)
    leaf = states.detach().requires_grad_(True)
    answer = BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=leaf)
    ids = batch["input_ids"].to(device)
    present = token_mask(batch)
    present = torch.ones_like(ids, dtype=torch.bool) if present is None else present.to(device)
    predicted = present[:, 1:] & present[:, :-1]
    with forward_as(body_of(model), lambda *_, **__: answer):
        for places in _parts(model, ids):
            with scoring_autocast(batch, device):
                logits = model(input_ids=ids, use_cache=False, logits_to_keep=places).logits
                part = loss(logits[predicted[:, places]].float(), ids[:, places + 1][predicted[:, places]])
            del logits
            part.backward()
    states.backward(leaf.grad)


def _parts(model: nn.Module, ids: Tensor) -> tuple[Tensor, ...]:
    """Positions that predict a token, in parts whose logits are small enough."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    size = max(1, LOGIT_BYTES // (4 * vocabulary * len(ids)))
    return torch.arange(ids.shape[1] - 1, device=ids.device).split(size)
