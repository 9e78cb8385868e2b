"""Plans for models of the zoo that leave other widths in every layer."""

from __future__ import annotations

from torch import nn

from secateur.models.binding import bind
from secateur.structure.plan import PruningPlan


def uneven_plan(model: nn.Module) -> PruningPlan:
    """Remove the middle layer of each stack, and leave other widths in every layer."""
    bound = bind(model)
    shape = bound.shape
    plan = without_a_layer(model)
    for position, layer in enumerate(plan.layers):
        groups, sharing = shape.kv_groups_per_layer[layer.index], shape.heads_per_group(layer.index)
        if position % 2 == 0 and groups > 1:
            plan = plan.with_groups(layer.index, [groups - 1])
        elif sharing > 1:
            plan = plan.with_heads(layer.index, [[sharing - 1]] * groups)
        plan = plan.with_channels(layer.index, range(1 + position, 7))
        if crossing := shape.cross_groups_per_layer[layer.index]:
            plan = plan.with_cross_groups(layer.index, range(1, crossing - position % 2))
    return plan


def without_a_layer(model: nn.Module) -> PruningPlan:
    """Remove the second layer of each stack of three."""
    bound = bind(model)
    first, removed = 0, []
    for size in bound.shape.stack_sizes:
        removed += [first + 1] if size > 2 else []
        first += size
    return PruningPlan.identity(bound.spec.family, bound.shape).without_layers(removed)
