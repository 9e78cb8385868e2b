"""What a tiny random model of a family is made of, and what it is fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers

VOCABULARY = 61
SPECIAL = {"bos_token_id": 1, "eos_token_id": None, "pad_token_id": 0}
LLAMA_LIKE = {
    "hidden_size": 32,
    "intermediate_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "vocab_size": VOCABULARY,
    **SPECIAL,
}
ENCODER = {
    "hidden_size": 32,
    "intermediate_size": 12,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """One tiny model.

    Parameters
    ----------
    name : str
        For test names.
    family : str
        Specification that describes it.
    model : str
        Class name in transformers.
    config : str
        Configuration class name.
    settings : dict
        Its arguments.
    inputs : str
        What the model takes: "tokens", "pixels", "sound", or "pairs" of tokens for encoder and decoder.
    """

    name: str
    family: str
    model: str
    config: str
    settings: dict[str, Any] = field(default_factory=dict)
    inputs: str = "tokens"

    def build(self, **changes: Any) -> Any:
        """Return the model in evaluation mode, every parameter random and none at a special value.

        Tables that are not trained (sinusoids) stay as they are computed.
        """
        config = getattr(transformers, self.config)(**{**self.settings, **changes})
        model = getattr(transformers, self.model)(config)
        draw = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if not parameter.requires_grad:
                    continue
                noise = torch.randn(parameter.shape, generator=draw)
                of_norm = parameter.ndim == 1 and name.endswith("weight")
                scale, centre = (0.3, 1.0) if of_norm else (0.15, 0.0)
                parameter.copy_(centre + scale * noise)
        if getattr(model, "generation_config", None) is not None:
            model.generation_config.eos_token_id = None
        return model.eval()

    def batch(self, length: int = 9) -> dict[str, torch.Tensor]:
        """Return two samples of input."""
        return INPUTS[self.inputs](length)

    @property
    def generates(self) -> bool:
        """Whether it generates tokens."""
        return self.model.endswith(("ForCausalLM", "LMHeadModel", "MTModel", "ForConditionalGeneration"))


def _tokens(length: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    return {"input_ids": torch.randint(4, VOCABULARY, (2, length), generator=draw)}


def _pixels(_length: int) -> dict[str, torch.Tensor]:
    return {"pixel_values": torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(3))}


def _sound(length: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    return {
        "input_features": torch.randn(2, 8, 20, generator=draw),
        "decoder_input_ids": torch.randint(4, VOCABULARY, (2, length), generator=draw),
    }


def _pairs(length: int) -> dict[str, torch.Tensor]:
    tokens = _tokens(length)["input_ids"]
    return {"input_ids": tokens, "decoder_input_ids": tokens.flip(1)}


INPUTS: dict[str, Callable[[int], dict[str, torch.Tensor]]] = {
    "tokens": _tokens,
    "pixels": _pixels,
    "sound": _sound,
    "pairs": _pairs,
}


def llama_like(family: str, stem: str, name: str | None = None, **settings: Any) -> Specimen:
    return Specimen(
        name=name or family,
        family=family,
        model=f"{stem}ForCausalLM",
        config=f"{stem}Config",
        settings={**LLAMA_LIKE, **settings},
    )
