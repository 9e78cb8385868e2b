"""Low-rank adapters on the projections of a bound model, put in for training and merged away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

from secateur.models.binding import bind


def projection_names(model: nn.Module) -> list[str]:
    """Names, within the model, of every projection of every block."""
    projections = {
        id(projection.module) for layer in bind(model).layers for projection in layer.all_projections
    }
    return [name for name, module in model.named_modules() if id(module) in projections]


def add_adapters(model: nn.Module, *, rank: int, alpha: float, seed: int) -> None:
    """Put a low-rank update beside every projection, in place; at first it changes nothing.

    Only the updates take gradients afterwards.

    Parameters
    ----------
    model : nn.Module
        A model that :func:`secateur.models.binding.bind` knows.
    rank : int
    alpha : float
        Updates are scaled by ``alpha / rank``.
    seed : int
        Of the updates' initial weights.

    References
    ----------
    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022.
    """
    bound = bind(model)
    orientations = {p.spec.orientation for layer in bound.layers for p in layer.all_projections}
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        target_modules=projection_names(model),
        fan_in_fan_out=orientations == {"conv1d"},
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)


@torch.no_grad()
def merge_adapters(model: nn.Module) -> None:
    """Add every update into its weight and put the plain projections back, in place."""
    adapted = [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]
    for name, module in adapted:
        module.merge()
        parent, _, own_name = name.rpartition(".")
        setattr(model.get_submodule(parent), own_name, module.get_base_layer())
    del model.peft_config


@contextmanager
def trainable_as_before(model: nn.Module) -> Iterator[None]:
    """Restore afterwards which parameters take gradients."""
    former = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        yield
    finally:
        for parameter, flag in former:
            parameter.requires_grad_(flag)
