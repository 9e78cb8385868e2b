"""How a model is called on a batch, and which of its tokens are data rather than padding."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from secateur.models.attributes import counts_behind_padding

Batch = Mapping[str, Tensor]
"""Windows (``waveform``, ``shaft_rate_hz``, ``fault_orders``, ``label``) or tokens (``input_ids`` (B, T), and
``attention_mask`` where rows are padded)."""

TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def run(model: nn.Module, batch: Batch) -> Any:
    """Call ``model`` on a batch, moved to the model's device; a language model keeps no cache.

    Returns
    -------
    Tensor or ModelOutput
        The logits of a Diagnoser; what a transformers model returns.
    """
    device = next(model.parameters()).device
    names = getattr(model, "input_names", None)
    given = token_inputs(model, batch) if names is None else {name: batch[name] for name in names}
    inputs = {name: value.to(device) for name, value in given.items()}
    more = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}
    return model(**inputs, **more)


def token_inputs(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return the arguments with which a model is called on a batch of tokens.

    Where rows are padded on the left, positions are counted from the first token that is no padding, so that
    padding changes nothing. Models that find their positions in the tokens or the mask themselves are left
    to do so.
    """
    inputs = {name: batch[name] for name in TOKEN_INPUTS if name in batch}
    mask = token_mask(batch)
    if mask is not None and not mask[:, 0].all() and _takes_positions(model):
        inputs["position_ids"] = (mask.long().cumsum(dim=1) - 1).clamp_min(0)
    return inputs


def token_mask(batch: Batch) -> Tensor | None:
    """Return which tokens are data and not padding, bool (B, T); None where all are.

    Every sum over tokens (scores, re-fit, losses) goes through this mask.
    """
    mask = batch.get("attention_mask")
    return None if mask is None else mask.bool()


def real_tokens(features: Tensor, mask: Tensor | None) -> Tensor:
    """Return the features of the tokens that are data, (tokens, D).

    Parameters
    ----------
    features : Tensor, shape (B, T, D), or (B * T, D) of a module that folds samples and tokens
    mask : Tensor of bool, shape (B, T), optional
    """
    flat = features.flatten(0, -2)
    return flat if mask is None else flat[mask.flatten().to(flat.device)]


def _takes_positions(model: nn.Module) -> bool:
    return not counts_behind_padding(model) and "position_ids" in inspect.signature(model.forward).parameters


def rows(batch: Batch) -> int:
    """Return the samples of a batch."""
    return len(next(iter(batch.values())))
