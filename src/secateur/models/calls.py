"""How a model is called on a batch: a Diagnoser on windows, any other on tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

Batch = Mapping[str, Tensor]
"""Windows (``waveform``, ``shaft_rate_hz``, ``fault_orders``, ``label``) or tokens (``input_ids`` (B, T), and
``attention_mask`` where rows are padded)."""

WINDOW_INPUTS = ("waveform", "shaft_rate_hz", "fault_orders")
TOKEN_INPUTS = ("input_ids", "attention_mask")


def is_causal_lm(model: nn.Module) -> bool:
    """Whether a model predicts the next token."""
    return type(model).__name__.endswith(("ForCausalLM", "LMHeadModel"))


def run(model: nn.Module, batch: Batch) -> Any:
    """Call ``model`` on a batch, moved to the model's device; a language model keeps no cache.

    Returns
    -------
    Tensor or ModelOutput
        The logits of a Diagnoser; what a transformers model returns.
    """
    device = next(model.parameters()).device
    if "waveform" in batch:
        return model(*(batch[name].to(device) for name in WINDOW_INPUTS))
    inputs = {name: batch[name].to(device) for name in TOKEN_INPUTS if name in batch}
    if getattr(model.config, "is_decoder", False) or hasattr(model, "generate"):
        inputs["use_cache"] = False
    return model(**inputs)


def rows(batch: Batch) -> int:
    """Return the windows, or the blocks of tokens, of a batch."""
    return len(batch["waveform" if "waveform" in batch else "input_ids"])
