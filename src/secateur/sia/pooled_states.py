"""What a model holds of each sample behind each of its blocks, pooled as its head pools."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secateur.core.errors import ConfigError
from secateur.models.binding import bind
from secateur.models.calls import Batch, run
from secateur.models.frozen import frozen


@dataclass(frozen=True, kw_only=True)
class PooledStates:
    """The residual stream, averaged over tokens, at every place between the blocks.

    Parameters
    ----------
    places : tuple of str
        ``input`` (in front of the first block), then ``layer 0``, ``layer 1``, ... by position in this
        model, then ``head`` (what the class head reads, behind the last norm) where there is one.
    states : tuple of ndarray of float64
        One a place, of shape (samples, hidden).
    """

    places: tuple[str, ...]
    states: tuple[np.ndarray, ...]


@torch.no_grad()
def pooled_states(model: nn.Module, batches: Iterable[Batch]) -> PooledStates:
    """Run ``model`` and keep the mean over tokens of the stream at every place.

    Parameters
    ----------
    model : nn.Module
        A Diagnoser, or a transformers model with one stack of blocks.
    batches : iterable of dict
        Windows or tokens; where rows are padded, ``attention_mask`` says which tokens count.

    Raises
    ------
    ConfigError
        If there is no batch, or the model has an encoder and a decoder.
    """
    bound = bind(model)
    if len(bound.spec.stacks) > 1:
        raise ConfigError(
            f"a {bound.spec.family} model has {len(bound.spec.stacks)} stacks of blocks; information along "
            "layers is defined for one stack. Give an encoder-only or a decoder-only model."
        )
    layers = bound.layers
    found: dict[str, list[np.ndarray]] = {
        "input": [],
        **{f"layer {layer.index}": [] for layer in layers},
    }
    current: dict[str, Any] = {}

    def keep(place: str, state: Tensor) -> None:
        found[place].append(_pooled(state, current["batch"]).double().cpu().numpy())

    with frozen(model), ExitStack() as hooks:
        first = layers[0].module.register_forward_pre_hook(
            lambda _, args, kwargs: keep("input", args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
        hooks.enter_context(first)
        for layer in layers:
            hooks.enter_context(layer.module.register_forward_hook(_behind(layer.index, keep)))
        head = getattr(model, "head", None)
        if isinstance(head, nn.Linear):
            found["head"] = []
            reading = head.register_forward_pre_hook(
                lambda _, args: found["head"].append(args[0].double().cpu().numpy())
            )
            hooks.enter_context(reading)
        for batch in batches:
            current["batch"] = batch
            run(model, batch)
    if not found["input"]:
        raise ConfigError("no sample was given; the information of a layer needs at least one.")
    return PooledStates(places=tuple(found), states=tuple(np.concatenate(parts) for parts in found.values()))


def _behind(index: int, keep: Callable[[str, Tensor], None]) -> Callable[..., None]:
    return lambda _module, _args, output: keep(
        f"layer {index}", output[0] if isinstance(output, tuple) else output
    )


def _pooled(state: Tensor, batch: Batch) -> Tensor:
    mask = batch.get("attention_mask")
    if mask is None:
        return state.mean(dim=1)
    weights = mask.to(state.device)[..., None]
    return (state * weights).sum(dim=1) / weights.sum(dim=1)
