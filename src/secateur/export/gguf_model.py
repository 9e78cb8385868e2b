"""What GGUF can hold of a causal language model: its hyperparameters and tensors in llama.cpp's terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from secateur.core.errors import ExportError
from secateur.export.causal_cache import CausalModel, causal_model
from secateur.models.binding import BoundLayer
from secateur.structure.spec import Role

GgufArchitecture = Literal["llama", "deci"]

FAMILIES = ("llama", "mistral")
"""Families that are one computation in llama.cpp, where Mistral has no sliding window."""

_MATRICES: Mapping[Role, str] = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
_NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


@dataclass(frozen=True, kw_only=True)
class GgufModel:
    """A Llama-like model as llama.cpp sees it.

    Attributes
    ----------
    causal : CausalModel
        The model itself.
    architecture : {"llama", "deci"}
        ``llama`` where all layers are alike; ``deci`` has head counts and widths of its own for each layer.
    heads, groups, channels : tuple of int
        Of each layer.
    head_dim, hidden : int
    context_length : int
    norm_epsilon, rope_base : float
    vocabulary : int
        Rows of the embedding.
    """

    causal: CausalModel
    heads: tuple[int, ...]
    groups: tuple[int, ...]
    channels: tuple[int, ...]
    head_dim: int
    hidden: int
    context_length: int
    norm_epsilon: float
    rope_base: float
    vocabulary: int

    @property
    def architecture(self) -> GgufArchitecture:
        """Which of llama.cpp's architectures can hold the layers."""
        alike = all(len(set(widths)) == 1 for widths in (self.heads, self.groups, self.channels))
        return "llama" if alike else "deci"

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each tensor with its name, float32, one at a time.

        Features of queries and keys that are rotated together are neighbours in llama.cpp, and half a head
        apart in transformers; they are put into its order.
        """
        bound = self.causal.bound
        embedding = self.causal.model.get_input_embeddings().weight
        head = self.causal.model.get_output_embeddings().weight
        yield "token_embd.weight", _plain(embedding)
        for layer in bound.layers:
            yield from _layer_tensors(layer)
        yield "output_norm.weight", _plain(bound.base.get_parameter("norm.weight"))
        if head is not embedding:
            yield "output.weight", _plain(head)


def gguf_model(model: nn.Module) -> GgufModel:
    """Check that llama.cpp can compute a model, and describe it in its terms.

    Parameters
    ----------
    model : PreTrainedModel
        On the CPU, in float32.

    Raises
    ------
    ConfigError
        If it is no causal language model.
    ExportError
        Naming everything that GGUF cannot hold of it.
    """
    causal = causal_model(model)
    bound, config = causal.bound, causal.model.config
    layers, context = bound.layers, causal.context_length
    if bound.spec.family not in FAMILIES:
        raise ExportError(
            f"a model of the family '{bound.spec.family}' is not written as GGUF; {' and '.join(FAMILIES)} "
            "are, since llama.cpp takes widths of their own for each layer for no other family that is known "
            "here. Export it as ONNX."
        )
    rope = getattr(config, "rope_parameters", None) or {}
    faults = [
        *_if(bound.shape.biased_roles, f"biases of {', '.join(bound.shape.biased_roles)}"),
        *_if(causal.model.get_output_embeddings().bias is not None, "a bias of the head"),
        *_if(config.hidden_act != "silu", f"the activation '{config.hidden_act}' (only silu)"),
        *_if(
            rope.get("rope_type", "default") != "default",
            f"rotary positions of the type '{rope.get('rope_type')}' (only default)",
        ),
        *_if(rope.get("partial_rotary_factor", 1.0) != 1.0, "rotary positions of a part of a head"),
        *_if(getattr(config, "sliding_window", None) is not None, "a sliding window of attention"),
        *_if(any(layer.n_heads % layer.n_groups for layer in layers), "groups of unequal size in a layer"),
        *_if(context is None, "an unlimited context"),
    ]
    if faults or context is None:
        raise ExportError(
            f"GGUF cannot hold this {type(model).__name__} for llama.cpp: {'; '.join(faults)}. Export it as "
            "ONNX."
        )
    return GgufModel(
        causal=causal,
        heads=tuple(layer.n_heads for layer in layers),
        groups=tuple(layer.n_groups for layer in layers),
        channels=tuple(layer.n_channels for layer in layers),
        head_dim=causal.head_dim,
        hidden=bound.shape.hidden,
        context_length=context,
        norm_epsilon=float(config.rms_norm_eps),
        rope_base=float(rope["rope_theta"]),
        vocabulary=causal.vocabulary,
    )


def _layer_tensors(layer: BoundLayer) -> Iterator[tuple[str, Tensor]]:
    prefix = f"blk.{layer.index}"
    for role, name in _MATRICES.items():
        weight = _plain(layer.role_weight(role))
        parts = {"q": layer.n_heads, "k": layer.n_groups}.get(role)
        if parts is not None:
            weight = weight.unflatten(0, (parts, 2, -1)).transpose(1, 2).reshape(weight.shape)
        yield f"{prefix}.{name}.weight", weight
    for path, name in _NORMS.items():
        yield f"{prefix}.{name}.weight", _plain(layer.module.get_parameter(f"{path}.weight"))


def _plain(weight: Tensor) -> Tensor:
    return weight.detach().to(torch.float32).contiguous()


def _if(fault: object, text: str) -> list[str]:
    return [text] if fault else []
