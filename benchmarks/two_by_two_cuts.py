"""The cuts of the 2 x 2 study: equal widths in all layers, closed and apart at exactly one size."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from torch import nn

from secateur.models.binding import BoundModel, bind
from secateur.scoring.scores import Scores
from secateur.structure.counting import parameters
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.surgery.apart import ApartPlan


def widths_for(identity: PruningPlan, ratio: float) -> tuple[int, int, int]:
    """Return key/value groups, query heads in each, and channels of every layer at a ratio.

    The attention keeps the share of itself closest to the share that all blocks keep (whole groups; heads of
    the last group once one is left), and the channels fill the budget.
    """
    target = int(parameters(identity) / ratio)
    shape = identity.shape
    groups, sharing = shape.kv_groups_per_layer[0], shape.heads_per_group(0)
    fixed = shape.other_parameters
    share = (target - fixed) / (parameters(identity) - fixed)
    options = [(count, sharing) for count in range(2, groups + 1)]
    options += [(1, heads) for heads in range(1, sharing + 1)]
    whole = groups * (2 * sharing + 2)
    kept = min(options, key=lambda option: abs(np.log(option[0] * (2 * option[1] + 2) / whole / share)))
    one, two = (parameters(_first(identity, *kept, channels)) for channels in (1, 2))
    return (*kept, int(max(1, min(shape.channels_per_layer[0], 1 + (target - one) // (two - one)))))


def closed_plan(identity: PruningPlan, scores: Scores, widths: tuple[int, int, int]) -> PruningPlan:
    """Keep the best closed units of every layer: groups, heads inside kept groups, channels."""
    n_groups, n_heads, n_channels = widths
    layers = []
    for index, layer in enumerate(identity.layers):
        sharing = identity.shape.heads_per_group(index)
        groups = _best(scores.groups[index], n_groups)
        heads = scores.heads[index].reshape(-1, sharing)
        layers.append(
            replace(
                layer,
                groups=groups,
                heads=tuple(_best(heads[group], n_heads) for group in groups),
                channels=_best(scores.channels[index], n_channels),
            )
        )
    return replace(identity, layers=tuple(layers))


@torch.no_grad()
def without_branch(model: nn.Module, kind: Literal["group", "channel"]) -> nn.Module:
    """Return a copy whose attention, or FFN, adds nothing to the residual stream in any layer."""
    silent = deepcopy(model)
    for layer in bind(silent).layers:
        layer.output(kind).weight.zero_()
    return silent


def mismatches(bound: BoundModel, plan: ApartPlan) -> dict[str, float]:
    """Return the share of query heads that read another group, and of channels whose matrices do not meet."""
    misread, apart = [], []
    for layer in plan.layers:
        sharing = bound.shape.heads_per_group(layer.index)
        kept = layer.kept
        now = len(kept["q"]) // len(kept["k"])
        misread += [head // sharing != kept["k"][i // now] for i, head in enumerate(kept["q"])]
        together = [kept[role] for role in ("gate", "up", "down") if role in kept]
        apart += [len(set(met)) > 1 for met in zip(*together, strict=True)]
    return {"misread_heads": float(np.mean(misread)), "mismatched_channels": float(np.mean(apart))}


def _first(identity: PruningPlan, groups: int, heads: int, channels: int) -> PruningPlan:
    layers: Sequence[LayerPlan] = [
        replace(
            layer,
            groups=tuple(range(groups)),
            heads=(tuple(range(heads)),) * groups,
            channels=tuple(range(channels)),
        )
        for layer in identity.layers
    ]
    return replace(identity, layers=tuple(layers))


def _best(scores: np.ndarray, count: int) -> tuple[int, ...]:
    return tuple(sorted(np.argsort(-scores, kind="stable")[:count].tolist()))
