"""A causal language model whose key/value cache goes in and out as plain tensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from secateur.core.errors import ExportError
from secateur.models.attributes import config_of, counts_behind_padding, most_tokens
from secateur.models.binding import BoundModel, bind
from secateur.tasks.heads import require_causal_lm

CAUSAL_SCOPE = "causal"
"""Path of the language model inside :class:`Cached`."""


@dataclass(frozen=True, kw_only=True)
class CausalScopes:
    """Where in the graph the parts of a causal language model are.

    Attributes
    ----------
    layers : str
        Path of the list of layers.
    embedding, head : str
        Paths of the modules that turn tokens into vectors and vectors into logits.
    """

    layers: str
    embedding: str
    head: str


@dataclass(frozen=True, kw_only=True)
class CausalModel:
    """A causal language model that can be exported.

    Attributes
    ----------
    model : PreTrainedModel
        In evaluation mode, on the CPU, in float32.
    bound : BoundModel
        Its layers.
    cache_heads : tuple of int
        Heads of the keys and values that each layer keeps: its groups, but for families that keep them once
        for each query head.
    head_dim : int
        Width of a key or value.
    """

    model: PreTrainedModel
    bound: BoundModel
    cache_heads: tuple[int, ...]
    head_dim: int

    @property
    def context_length(self) -> int | None:
        """Positions that the configuration allows; None where it sets no limit."""
        return most_tokens(self.model)

    @property
    def vocabulary(self) -> int:
        """Tokens, as many as there are logits."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    @property
    def scopes(self) -> CausalScopes:
        """Paths inside :class:`Cached`."""
        paths = {id(module): path for path, module in self.model.named_modules()}
        inside = {
            "layers": self.bound.block_path(0).rpartition(".")[0],
            "embedding": paths[id(self.model.get_input_embeddings())],
            "head": paths[id(self.model.get_output_embeddings())],
        }
        return CausalScopes(**{part: f"{CAUSAL_SCOPE}.{path}" for part, path in inside.items()})

    @property
    def end_tokens(self) -> tuple[int, ...]:
        """Tokens that end a generation, as the model was saved.

        A configuration may name others that its vocabulary lacks (the default of a larger one); they never
        come out and are left away.
        """
        settings = getattr(self.model, "generation_config", None) or self.model.config
        found = settings.eos_token_id
        named = found if isinstance(found, (list, tuple)) else () if found is None else (found,)
        return tuple(int(token) for token in named if 0 <= token < self.vocabulary)

    def empty_past(self, batch: int, tokens: int = 0) -> list[Tensor]:
        """Return zeros of the shape of a cache: key and value of each layer."""
        return [
            torch.zeros(batch, heads, tokens, self.head_dim)
            for heads in self.cache_heads
            for _ in ("key", "value")
        ]


def causal_model(model: nn.Module) -> CausalModel:
    """Check that a model predicts the next token from the past alone.

    Parameters
    ----------
    model : torch.nn.Module
        As :func:`secateur.export.onnx.frozen_copy` gives it.

    Raises
    ------
    ConfigError
        If it is an encoder, an encoder and decoder, or a Diagnoser; the message names its class.
    UnsupportedArchitecture
        If its family is not known.
    ExportError
        If it keeps something else than a key and a value a layer, counts its positions from tokens, or
        changes its rotary frequencies as a text grows.
    """
    name = type(model).__name__
    require_causal_lm(model)
    assert isinstance(model, PreTrainedModel), "all causal language models are those of transformers"
    bound = bind(model)
    if counts_behind_padding(model):
        raise ExportError(
            f"{name} counts positions from behind its padding token, while generate of transformers counts "
            "them from 0: with a cache and without, the same model says different things. Such a decoder is "
            "not exported."
        )
    if any("dynamic" in kind for kind in _rotary_types(model)):
        raise ExportError(
            f"{name} has rotary positions of the type 'dynamic', whose frequencies change as a text grows; a "
            "graph cannot follow that. Set another rope_type in config.json (without scaling: 'default') if "
            "your texts are short, and export that."
        )
    shapes = _cache_shapes(model)
    widths = {shape[3] for shape in shapes}
    if len(shapes) != 2 * len(bound.layers) or len(widths) != 1 or shapes[::2] != shapes[1::2]:
        raise ExportError(
            f"{name} with {len(bound.layers)} layers keeps a cache of the shapes {shapes}; only keys and "
            "values of one width, one of each a layer, can be exported."
        )
    return CausalModel(
        model=model, bound=bound, cache_heads=tuple(shape[1] for shape in shapes[::2]), head_dim=widths.pop()
    )


def _rotary_types(model: nn.Module) -> set[str]:
    """Return how rotary positions are scaled, in some families a way for each type of layer."""
    told = getattr(config_of(model), "rope_parameters", None) or {}
    return {
        str(one.get("rope_type", "default")) for one in (told, *told.values()) if isinstance(one, Mapping)
    }


def _cache_shapes(model: PreTrainedModel) -> list[tuple[int, ...]]:
    """Shapes of what a model really keeps of one token."""
    cache = DynamicCache()
    with torch.no_grad():
        model(input_ids=torch.zeros(1, 1, dtype=torch.int64), past_key_values=cache, use_cache=True)
    return [tuple(tensor.shape) for tensor in _tensors(cache)]


def _tensors(cache: DynamicCache) -> list[Tensor]:
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


class Cached(nn.Module):
    """The graph's forward: tokens and past in, logits and presents out.

    Positions are counted from the attention mask, so that rows may be padded on the left.

    Parameters
    ----------
    model : PreTrainedModel
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.causal = model
        self._takes_positions = "position_ids" in inspect.signature(model.forward).parameters

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, past: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return logits (batch, n, vocabulary), and key and value of each layer with the new tokens.

        Parameters
        ----------
        input_ids : Tensor of int64, shape (batch, n)
        attention_mask : Tensor of int64, shape (batch, past + n)
            0 at padding.
        past : list of Tensor
            Key and value of each layer, shape (batch, groups, past, head_dim).
        """
        cache = DynamicCache()
        for layer, (key, value) in enumerate(zip(past[::2], past[1::2], strict=True)):
            cache.update(key, value, layer)
        more = {}
        if self._takes_positions:
            counted = (attention_mask.cumsum(-1) - 1).clamp_min(0)
            more["position_ids"] = counted[:, -input_ids.shape[1] :]
        out = self.causal(
            input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True, **more
        )
        return out.logits, _tensors(cache)
