"""Tiny random models for every way to hold a vocabulary: tied, untied, biased, projected, shared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    WhisperConfig,
    WhisperForConditionalGeneration,
)

SIZE = 97
WIDTHS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
TOKENS = {"vocab_size": SIZE, "bos_token_id": 1, "eos_token_id": 90, "pad_token_id": 0}
SEQUENCES = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 20,
    "decoder_ffn_dim": 20,
}
OPT = {"hidden_size": 16, "ffn_dim": 20, "num_hidden_layers": 2, "num_attention_heads": 2}

BUILDERS: dict[str, Callable[..., Any]] = {
    "gpt2": lambda **more: GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=2, n_head=2, **TOKENS | more)),
    "llama": lambda **more: LlamaForCausalLM(LlamaConfig(**WIDTHS, **TOKENS | more)),
    "llama-tied": lambda: LlamaForCausalLM(LlamaConfig(**WIDTHS, **TOKENS, tie_word_embeddings=True)),
    "phi": lambda: PhiForCausalLM(PhiConfig(**WIDTHS, **TOKENS)),
    "opt": lambda: OPTForCausalLM(OPTConfig(**OPT, **TOKENS, word_embed_proj_dim=8)),
    "bert": lambda: BertForMaskedLM(BertConfig(**WIDTHS, **TOKENS)),
    "bert-untied": lambda: BertForMaskedLM(BertConfig(**WIDTHS, **TOKENS, tie_word_embeddings=False)),
    "distilbert": lambda: DistilBertForMaskedLM(
        DistilBertConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=20, vocab_size=SIZE)
    ),
    "roberta": lambda: RobertaForMaskedLM(
        RobertaConfig(**WIDTHS, **TOKENS | {"bos_token_id": 0, "pad_token_id": 1}, max_position_embeddings=40)
    ),
    "bart": lambda: BartForConditionalGeneration(
        BartConfig(**SEQUENCES, **TOKENS, decoder_start_token_id=90, forced_eos_token_id=None)
    ),
    "whisper": lambda: WhisperForConditionalGeneration(
        WhisperConfig(**SEQUENCES, **TOKENS, decoder_start_token_id=95)
    ),
}
CAUSAL = ("gpt2", "llama", "llama-tied", "phi", "opt")


def tiny_language_model(name: str, **more: Any) -> PreTrainedModel:
    """Return the model in evaluation mode, the same at each call, with no parameter at a special value."""
    model = BUILDERS[name](**more)
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=draw)
            is_norm = "norm" in path.lower() or "ln_" in path
            parameter.copy_(1 + 0.3 * noise if is_norm and path.endswith("weight") else 0.2 * noise)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.copy_(torch.randn(1, SIZE, generator=draw))
    return model.eval()


def tokens_with(required: tuple[int, ...], step: int = 3) -> tuple[int, ...]:
    """Return about one token of ``step``, and what is required."""
    return tuple(sorted({*required, *range(2, SIZE, step)}))
