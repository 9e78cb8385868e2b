"""Backbones by name: GPT-2 (MHA + GELU) and Llama (GQA + SwiGLU), in five sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import GPT2Config, LlamaConfig

from secateur.core.errors import ConfigError
from secateur.models.diagnoser import Diagnoser, DiagnoserConfig
from secateur.models.front_end.settings import FrontEndSettings
from secateur.models.front_end.tokens import token_count

DROPOUT = 0.1


@dataclass(frozen=True, kw_only=True)
class Size:
    """Shape of a preset; the gated feed-forward is two thirds as wide, so that parameters match."""

    layers: int
    hidden: int
    heads: int
    kv_groups: int
    channels: int
    gated_channels: int


SIZES = {
    "nano": Size(layers=2, hidden=32, heads=4, kv_groups=2, channels=64, gated_channels=48),
    "micro": Size(layers=4, hidden=64, heads=4, kv_groups=2, channels=256, gated_channels=176),
    "mini": Size(layers=8, hidden=64, heads=8, kv_groups=4, channels=256, gated_channels=176),
    "small": Size(layers=12, hidden=256, heads=8, kv_groups=4, channels=1024, gated_channels=768),
    "base": Size(layers=12, hidden=768, heads=12, kv_groups=4, channels=3072, gated_channels=2048),
}


def _gpt2(size: Size, tokens: int) -> dict[str, Any]:
    config = GPT2Config(
        vocab_size=1,
        n_positions=tokens,
        n_embd=size.hidden,
        n_layer=size.layers,
        n_head=size.heads,
        n_inner=size.channels,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=DROPOUT,
        embd_pdrop=DROPOUT,
        attn_pdrop=DROPOUT,
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
    )
    return config.to_diff_dict()


def _llama(size: Size, tokens: int) -> dict[str, Any]:
    config = LlamaConfig(
        vocab_size=1,
        max_position_embeddings=tokens,
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_groups,
        intermediate_size=size.gated_channels,
        attention_dropout=DROPOUT,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        use_cache=False,
    )
    return config.to_diff_dict()


_FAMILIES = {"mha": _gpt2, "gqa": _llama}
PRESETS = tuple(f"{size}-{attention}" for size in SIZES for attention in _FAMILIES)


def preset_config(name: str, *, classes: tuple[str, ...], front_end: FrontEndSettings) -> DiagnoserConfig:
    """Return the configuration of a preset such as ``small-gqa``.

    Raises
    ------
    ConfigError
        If there is no preset of that name.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"unknown backbone '{name}'; allowed: {', '.join(PRESETS)}, or a local model folder."
        )
    size, attention = name.split("-")
    tokens = token_count(front_end)
    return DiagnoserConfig(
        classes=classes, front_end=front_end, backbone=_FAMILIES[attention](SIZES[size], tokens)
    )


def build_preset(name: str, *, classes: tuple[str, ...], sampling_rate_hz: float) -> Diagnoser:
    """Build a preset with random weights and the default front end."""
    return Diagnoser(
        preset_config(name, classes=classes, front_end=FrontEndSettings(sampling_rate_hz=sampling_rate_hz))
    )
