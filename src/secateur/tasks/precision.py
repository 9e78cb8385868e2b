"""Arithmetic of scoring: bfloat16 for language models where the processor has it, as given elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from secateur.models.precision import autocast, resolve_precision


def scoring_autocast(
    device: torch.device, *, rounds: bool, weights_stay: bool = True
) -> AbstractContextManager:
    """Return the context in which a batch is scored, or passes the blocks of a re-fit.

    Models of text are scored in bfloat16 where the processor multiplies it in hardware; each score is a sum
    of thousands of terms, so that rounding hardly moves it. Small models are scored as they are. The residual
    stream keeps its type. See :func:`secateur.models.precision.autocast` for ``weights_stay``.
    """
    if not rounds:
        return nullcontext()
    return autocast(device, resolve_precision("auto", device), weights_stay=weights_stay)


@contextmanager
def rounded_weights(model: nn.Module, *, rounds: bool) -> Iterator[None]:
    """Round the weights of linear maps once to what :func:`scoring_autocast` rounds them to at every call.

    The model has its own weights back afterwards.
    """
    device = next(model.parameters()).device
    with scoring_autocast(device, rounds=rounds):
        rounds = torch.is_autocast_enabled(device.type)
        dtype = torch.get_autocast_dtype(device.type)
    if not rounds:
        yield
        return
    linear = [module for module in model.modules() if isinstance(module, nn.Linear | Conv1D)]
    former = [module.weight for module in linear]
    rounded = {id(weight): weight for weight in former}
    for key, weight in rounded.items():
        rounded[key] = nn.Parameter(weight.detach().to(dtype), requires_grad=False)
    for module in linear:
        module.weight = rounded[id(module.weight)]
    try:
        yield
    finally:
        for module, weight in zip(linear, former, strict=True):
            module.weight = weight
