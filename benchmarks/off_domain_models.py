"""The models of the off-domain study: SmolLM2-135M, and a small Gemma3-like one that is trained here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from packaged_models import smollm2
from sia_validation_models import train
from torch import nn
from transformers import ByT5Tokenizer, Gemma3ForCausalLM, Gemma3TextConfig

from secateur.core.seeds import derive
from secateur.models.pretrained import open_pretrained

STEPS, CONTEXT = 600, 128


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A dense model, how it is judged (tokens of each text, and read at once) and the blocks it is cut by."""

    model: nn.Module
    tokenizer: Any
    judged_tokens: int
    context: int
    block_tokens: int


def gemma3_like(training: str, work: Path) -> Subject:
    """Return a model of bytes: one KV head, gated GELU, norms behind the projections; kept in ``work``.

    Parameters
    ----------
    training : str
        What it is trained on: all kinds of text on which it is judged, none of the passages.
    work : Path
    """
    tokenizer, folder = ByT5Tokenizer(extra_ids=0), work / "gemma3_like"
    if not (folder / "config.json").exists():
        torch.manual_seed(derive(0, "Gemma3-like"))
        config = Gemma3TextConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=512,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=32,
            query_pre_attn_scalar=32,
            sliding_window=64,
            max_position_embeddings=CONTEXT,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            attn_implementation="eager",
        )
        model = Gemma3ForCausalLM(config)
        tokens = tokenizer(training, add_special_tokens=False, verbose=False)["input_ids"]
        train(model, tokens, steps=STEPS, name="Gemma3-like", context=CONTEXT)
        model.save_pretrained(folder)
    model = open_pretrained(folder, dtype=torch.float32).model.eval()
    return Subject(
        model=model, tokenizer=tokenizer, judged_tokens=16384, context=CONTEXT, block_tokens=CONTEXT
    )


def smollm2_subject(training: str, work: Path) -> Subject:
    """Return SmolLM2-135M, which is trained already."""
    del training, work
    opened = smollm2()
    return Subject(
        model=opened.model, tokenizer=opened.tokenizer, judged_tokens=2048, context=512, block_tokens=256
    )


MODELS: dict[str, Callable[[str, Path], Subject]] = {
    "smollm2": smollm2_subject,
    "gemma3_like": gemma3_like,
}
