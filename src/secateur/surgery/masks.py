"""Masks: the same removal without a change of shape, to prove that a cut is right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from secateur.models.binding import BoundLayer, BoundModel, bind
from secateur.models.skipping import skipped
from secateur.structure.closure import WeightSlice, closure, kept_norm_features
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.structure.spec import UnitKind
from secateur.structure.units import Unit
from secateur.surgery.apply import require_fit


@contextmanager
def mask(model: nn.Module, plan: PruningPlan) -> Iterator[nn.Module]:
    """Set the closure of every removed unit to zero while the block runs, then restore it bit by bit.

    Two things cannot be said with zeros. A layer that normalises the residual stream itself (as in BERT) is
    skipped. A norm over all queries or keys takes its statistics over the kept heads. Tokens are not masked.

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
    layers = bound.layers
    former: dict[tuple[int, str], Tensor] = {}
    with ExitStack() as undone:
        post = [index for index in plan.removed_layers if layers[index].stack.residual == "post"]
        undone.enter_context(skipped(bound, post))
        for kept in plan.layers:
            undone.enter_context(_norms_of_kept_heads(layers[kept.index], kept))
        try:
            for entry in removed_slices(bound, plan):
                parameter = layers[entry.layer].module.get_parameter(entry.parameter).detach()
                former.setdefault((entry.layer, entry.parameter), parameter.clone())
                indices = torch.tensor(entry.indices, device=parameter.device)
                parameter.index_fill_(entry.axis, indices, 0.0)
            yield model
        finally:
            for (layer, name), value in former.items():
                layers[layer].module.get_parameter(name).detach().copy_(value)


def removed_slices(bound: BoundModel, plan: PruningPlan) -> Iterator[WeightSlice]:
    """Yield the closure of every unit that the plan removes."""
    for index in plan.removed_layers:
        yield from closure(bound.spec, plan.shape, Unit(kind="layer", layer=index))
    for layer in plan.layers:
        for kind, indices in _removed_units(plan, layer).items():
            for index in indices:
                yield from closure(bound.spec, plan.shape, Unit(kind=kind, layer=layer.index, index=index))


def _removed_units(plan: PruningPlan, layer: LayerPlan) -> dict[UnitKind, list[int]]:
    shape, index = plan.shape, layer.index
    available: dict[UnitKind, tuple[int, tuple[int, ...]]] = {
        "group": (shape.kv_groups_per_layer[index], layer.groups),
        "cross_group": (shape.cross_groups_per_layer[index], layer.cross_groups),
        "channel": (shape.channels_per_layer[index], layer.channels),
    }
    removed: dict[UnitKind, list[int]] = {
        kind: sorted(set(range(count)) - set(kept)) for kind, (count, kept) in available.items()
    }
    sharing = shape.heads_per_group(index)
    removed["head"] = [
        group * sharing + head
        for position, group in enumerate(layer.groups)
        for head in sorted(set(range(sharing)) - set(layer.heads_of(position, sharing)))
    ]
    return removed


@contextmanager
def _norms_of_kept_heads(layer: BoundLayer, kept: LayerPlan) -> Iterator[None]:
    """Let norms over all queries or keys see the kept heads only."""
    patched = []
    for spec, norm in layer.norms.values():
        features = kept_norm_features(spec, layer.widths, kept)
        if features is not None and len(features) < len(norm.get_parameter("weight")):
            norm.forward = _NormOfSome(norm, torch.from_numpy(features))
            patched.append(norm)
    try:
        yield
    finally:
        for norm in patched:
            del norm.forward


class _NormOfSome:
    """The forward of a norm over some features; the others come out as zero."""

    def __init__(self, norm: nn.Module, features: Tensor) -> None:
        self.norm, self.features = copy(norm), features

    def __call__(self, hidden: Tensor) -> Tensor:
        weights = {name: value[self.features] for name, value in self.norm.named_parameters()}
        chosen = functional_call(self.norm, weights, (hidden[..., self.features],))
        return torch.zeros_like(hidden).index_copy(-1, self.features, chosen)
