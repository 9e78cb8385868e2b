"""The loss of predicting tokens, run backwards a few positions at a time.

The logits of 256 tokens over 49,152 entries take 50 MB in float32, and what a loss keeps of them several
times that. So the body of the model is run first; then its last states are given to the head in parts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from secateur.models.attributes import config_of, vocabulary_size
from secateur.models.calls import Batch, run
from secateur.models.stand_in import forward_as
from secateur.tasks.objective import SummedLoss
from secateur.tasks.precision import scoring_autocast
from secateur.tasks.token_losses import next_tokens

LOGIT_BYTES = 12 * 2**20
"""Of the float32 logits of one part."""


def body_of(model: nn.Module) -> nn.Module:
    """Return the module that a model calls for its last hidden states; itself where it has no head."""
    base: Any = getattr(model, "base_model", model)
    decoder = getattr(base, "decoder", None)
    return base if decoder is None or config_of(model).is_encoder_decoder else decoder


def backward_from_tokens(model: nn.Module, batch: Batch, loss: SummedLoss) -> None:
    """Run ``loss(logits, next tokens)`` of a batch backwards; padding neither predicts nor is predicted.

    The gradient is that of the loss of all positions at once, because the loss is a sum over them.

    Parameters
    ----------
    model : nn.Module
        A causal language model without parameter gradients; what is differentiated are its activations.
    batch : mapping
        See :func:`secateur.tasks.token_losses.next_tokens`, which says what is to be predicted.
    loss : callable
        ``loss(logits, labels)`` with (N, vocabulary) and (N,), summed over N.
    """
    device = next(model.parameters()).device
    with scoring_autocast(device, rounds=True):
        answer = run(body_of(model), batch)
    states = answer[0]
    leaf = answer["last_hidden_state"] = states.detach().requires_grad_(True)
    ids, targets = batch["input_ids"].to(device), next_tokens(batch).to(device)
    with forward_as(body_of(model), lambda *_, **__: answer):
        for places in _parts(model, ids):
            with scoring_autocast(device, rounds=True):
                logits = model(input_ids=ids, use_cache=False, logits_to_keep=places).logits
                wanted = targets[:, places].flatten()
                counted = wanted >= 0
                part = loss(logits.float().flatten(0, 1)[counted], wanted[counted])
            del logits
            part.backward()
    states.backward(leaf.grad)


def _parts(model: nn.Module, ids: Tensor) -> tuple[Tensor, ...]:
    """Positions that predict a token, in parts whose logits are small enough."""
    vocabulary = vocabulary_size(model)
    size = max(1, LOGIT_BYTES // (4 * vocabulary * len(ids)))
    return torch.arange(ids.shape[1] - 1, device=ids.device).split(size)
