"""Zero masks: the same removal without a change of shape, to prove that a cut is right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from secateur.models.binding import BoundModel, bind
from secateur.structure.closure import WeightSlice, closure
from secateur.structure.plan import PruningPlan
from secateur.structure.units import Unit
from secateur.surgery.apply import require_fit


@contextmanager
def mask(model: nn.Module, plan: PruningPlan) -> Iterator[nn.Module]:
    """Set the closure of every removed unit to zero while the block runs, then restore it bit by bit.

    Parameters
    ----------
    model : torch.nn.Module
        The model that the plan was made for; changed in place and restored, gradients aside.
    plan : PruningPlan
        What stays.

    Yields
    ------
    torch.nn.Module
        ``model`` itself.

    Raises
    ------
    PlanError
        If the plan was made for a model of another family or shape.
    """
    bound = bind(model)
    require_fit(bound, plan)
    blocks = [layer.module for layer in bound.layers]
    former: dict[tuple[int, str], torch.Tensor] = {}
    try:
        for entry in removed_slices(bound, plan):
            parameter = blocks[entry.layer].get_parameter(entry.parameter).detach()
            former.setdefault((entry.layer, entry.parameter), parameter.clone())
            indices = torch.tensor(entry.indices, device=parameter.device)
            parameter.index_fill_(entry.axis, indices, 0.0)
        yield model
    finally:
        for (layer, name), value in former.items():
            blocks[layer].get_parameter(name).detach().copy_(value)


def removed_slices(bound: BoundModel, plan: PruningPlan) -> Iterator[WeightSlice]:
    """Yield the closure of every unit that the plan removes."""
    for index in plan.removed_layers:
        yield from closure(bound.spec, plan.shape, Unit(kind="layer", layer=index))
    for layer in plan.layers:
        available = {
            "group": (plan.shape.kv_groups_per_layer[layer.index], layer.groups),
            "channel": (plan.shape.channels_per_layer[layer.index], layer.channels),
        }
        for kind, (count, kept) in available.items():
            for unit in sorted(set(range(count)) - set(kept)):
                yield from closure(bound.spec, plan.shape, Unit(kind=kind, layer=layer.index, index=unit))
