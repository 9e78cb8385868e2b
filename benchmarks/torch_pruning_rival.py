"""Torch-Pruning on a causal language model of the llama family, at its best, as a rival.

Torch-Pruning cuts channels by ratio, and its ratio is of channels, not of parameters:
:func:`cut_with_torch_pruning` searches the ratio that removes the wanted share of the blocks' parameters.
How its faults were got round in its favour is said in ``torch_pruning_once.py``.

Setups were compared by perplexity on the evaluation text itself, which favours the rival. At 30 % of
SmolLM2's blocks in one round, FFN channels, Taylor, one ranking: the largest score of the three matrices,
unscaled, was best, with Hessian scores in its place slightly better. Worse, unscaled: their mean, product,
first or last, the absolute value after the sum (``multivariable``), the same ratio in every layer. Worse,
with their mean: scaling by mean, median, maximum, standard score or LAMP; activations
(``ActivationImportance``). Magnitudes, query heads and hidden width were far behind at 10 % already. Three
rounds with gradients taken anew were better still (Taylor, at 30 and 50 %); Hessian in three rounds is
listed by analogy.

Ratings of one model can be handed on (``gradients=``) from one size to the next, as in a user's own script.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch_pruning_once import (
    TRACED_TOKENS,
    Batch,
    Configuration,
    Gradients,
    cut_at_ratio,
    importance_gradients,
    require_possible,
)

from secateur.core.errors import ConfigError
from secateur.core.progress import progress

ATTEMPTS = 18
EXACT, FINEST_RATIO = 5e-4, 1e-4  # share of the block parameters; step of Torch-Pruning's ratio


_BEST = {"scope": "ffn", "global_ranking": True, "normalizer": None, "group_reduction": "max"}
CONFIGURATIONS: tuple[Configuration, ...] = (
    Configuration(name="Taylor, FFN, global, 3 rounds", importance="taylor", rounds=3, **_BEST),
    Configuration(name="Hessian, FFN, global, 3 rounds", importance="hessian", rounds=3, **_BEST),
    Configuration(name="Taylor, FFN, global", importance="taylor", **_BEST),
    Configuration(name="Hessian, FFN, global", importance="hessian", **_BEST),
    Configuration(
        name="Taylor, FFN, global, defaults", importance="taylor", scope="ffn", global_ranking=True
    ),
    Configuration(name="magnitude, FFN, global", importance="magnitude", scope="ffn", global_ranking=True),
    Configuration(
        name="Taylor, heads and FFN, global", importance="taylor", **(_BEST | {"scope": "heads+ffn"})
    ),
    Configuration(
        name="Taylor, heads and FFN, uniform", importance="taylor", scope="heads+ffn", global_ranking=False
    ),
    Configuration(
        name="Taylor, hidden width too, uniform",
        importance="taylor",
        scope="hidden too",
        global_ranking=False,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A model that Torch-Pruning has cut.

    Attributes
    ----------
    model : nn.Module
        Of the class given, with smaller tensors.
    block_parameters : int
        Parameters of the residual blocks that stay, counted.
    fraction : float
        Share of the block parameters that left.
    ratio : float
        Torch-Pruning's own ratio that led there (of the last round).
    seconds : float
        Rating, search and cut together; without the rating where gradients were given.
    peak_rss_bytes : int
        Highest resident size of this process so far: a figure of the cut alone in a process of its own.
    notes : tuple of str
        What Torch-Pruning dropped or left aside.
    """

    model: nn.Module
    block_parameters: int
    fraction: float
    ratio: float
    seconds: float
    peak_rss_bytes: int
    notes: tuple[str, ...]


def block_parameters(model: nn.Module) -> int:
    """Return the parameters of the residual blocks."""
    return sum(parameter.numel() for parameter in model.model.layers.parameters())


def cut_with_torch_pruning(
    model: nn.Module,
    batches: Sequence[Batch],
    fraction: float,
    configuration: Configuration,
    *,
    gradients: Gradients | None = None,
) -> Cut:
    """Cut a copy of a model with Torch-Pruning.

    Parameters
    ----------
    model : nn.Module
        Causal language model of the llama family; not modified.
    batches : sequence of {"input_ids": LongTensor of shape (batch, tokens)}
        Calibration; the first one is also what the graph is traced with.
    fraction : float
        Share of the *block* parameters to remove, in (0, 1).
    configuration : Configuration
        One of :data:`CONFIGURATIONS`, or another.
    gradients : dict, optional
        Of :func:`importance_gradients` for this model and importance, to save the first rating.

    Returns
    -------
    Cut
        The achieved fraction is the nearest that the ratios tried give.

    Raises
    ------
    ConfigError
        If the fraction is no share, or Torch-Pruning can't do what the configuration asks of this model.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"fraction is {fraction}; give the share of block parameters to remove, in (0, 1)")
    require_possible(model, configuration)
    start, dense = time.perf_counter(), block_parameters(model)
    present, ratio = model, 0.0
    for number in range(configuration.rounds):
        if number or gradients is None:
            gradients = importance_gradients(present, batches, configuration.importance)
        target = round(dense * (1 - fraction * (number + 1) / configuration.rounds))
        present, ratio = _cut_to(present, batches, gradients, target, configuration)
    left = block_parameters(present)
    with torch.no_grad():
        present(input_ids=batches[0]["input_ids"][:1, :TRACED_TOKENS])
    return Cut(
        model=present,
        block_parameters=left,
        fraction=1 - left / dense,
        ratio=ratio,
        seconds=time.perf_counter() - start,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        * (1 if sys.platform == "darwin" else 1024),
        notes=_notes(model, present, configuration),
    )


def _cut_to(
    model: nn.Module,
    batches: Sequence[Batch],
    gradients: Gradients,
    target: int,
    configuration: Configuration,
) -> tuple[nn.Module, float]:
    """Search the ratio whose cut leaves the number of block parameters nearest to ``target``."""
    whole = block_parameters(model)
    low, high = (0.0, whole), (1.0, 0)
    best: tuple[int, nn.Module, float] | None = None
    with progress(f"Torch-Pruning: {configuration.name}", total=ATTEMPTS) as bar:
        for attempt in range(ATTEMPTS):
            if attempt % 3 == 2:
                ratio = (low[0] + high[0]) / 2
            else:
                ratio = low[0] + (high[0] - low[0]) * (low[1] - target) / (low[1] - high[1])
            cut = cut_at_ratio(model, batches, gradients, ratio, configuration)
            left = block_parameters(cut)
            if best is None or abs(left - target) < abs(best[0] - target):
                best = left, cut, ratio
            if abs(left - target) <= EXACT * whole or high[0] - low[0] < FINEST_RATIO:
                break
            low, high = ((ratio, left), high) if left > target else (low, (ratio, left))
            bar.advance(parameters=left)
    return best[1], best[2]


def _notes(dense: nn.Module, cut: nn.Module, configuration: Configuration) -> tuple[str, ...]:
    def untouched(width: Any) -> list[int]:
        pairs = enumerate(zip(dense.model.layers, cut.model.layers, strict=True))
        return [index for index, (before, after) in pairs if width(before) == width(after)]

    notes = []
    if layers := untouched(lambda layer: layer.mlp.gate_proj.out_features):
        notes.append(f"no channel cut in layers {layers}")
    if configuration.scope != "ffn" and (
        layers := untouched(lambda layer: layer.self_attn.q_proj.out_features)
    ):
        notes.append(f"no head cut in layers {layers}")
    return tuple(notes)
