"""Backbones that differ in two factors only: shared keys and values, and a multiplicative gate.

Two stock architectures of one build are configured alike: LayerNorm with bias before each branch, rotary
positions over the whole head, no bias in any projection, no dropout in the residual stream, the same initial
spread. Starcoder2 has a plain GELU feed-forward, StableLM a gated one (SwiGLU); both take any number of
key/value heads. What sharing keys and values saves, and what a gate costs, is given to or taken from the
width of the feed-forward part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from transformers import StableLmConfig, Starcoder2Config

from secateur.core.errors import ConfigError

Attention = Literal["mha", "gqa"]
Ffn = Literal["gelu", "swiglu"]


@dataclass(frozen=True, kw_only=True)
class ControlledSize:
    """What the four backbones share.

    Parameters
    ----------
    layers : int
        Blocks.
    hidden : int
        Width of the residual stream.
    heads : int
        Query heads.
    sharing : int
        Query heads that read one key and value in the ``gqa`` backbones.
    channels : int
        Channels of the MHA + GELU backbone; the others are set to its number of parameters.
    """

    layers: int
    hidden: int
    heads: int
    sharing: int
    channels: int

    def __post_init__(self) -> None:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2 or self.heads % self.sharing:
            raise ConfigError(
                f"{self.hidden} features in {self.heads} heads, {self.sharing} to a key; heads must divide "
                "the features into even parts (rotary positions turn pairs) and be a multiple of the sharing."
            )

    def groups(self, attention: Attention) -> int:
        """Return the number of key/value heads."""
        return self.heads if attention == "mha" else self.heads // self.sharing

    def channels_of(self, attention: Attention, ffn: Ffn) -> int:
        """Return the channels with which a backbone has as many parameters as MHA + GELU, to a rounding."""
        head_dim = self.hidden // self.heads
        saved = 2 * (self.heads - self.groups(attention)) * head_dim
        return round((2 * self.channels + saved) / (2 if ffn == "gelu" else 3))


def controlled_backbone(
    size: ControlledSize, *, attention: Attention, ffn: Ffn, tokens: int
) -> dict[str, Any]:
    """Return the ``transformers`` configuration of one of the four backbones, as a dictionary.

    Parameters
    ----------
    size : ControlledSize
    attention : {"mha", "gqa"}
    ffn : {"gelu", "swiglu"}
    tokens : int
        The most tokens it takes.
    """
    shared = {
        "vocab_size": 1,
        "max_position_embeddings": tokens,
        "hidden_size": size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.groups(attention),
        "intermediate_size": size.channels_of(attention, ffn),
        "initializer_range": 0.02,
        "attention_dropout": 0.1,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "use_cache": False,
    }
    if ffn == "gelu":
        return Starcoder2Config(**shared, norm_epsilon=1e-5, use_bias=False).to_diff_dict()
    rope = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}
    return StableLmConfig(**shared, layer_norm_eps=1e-5, rope_parameters=rope).to_diff_dict()
