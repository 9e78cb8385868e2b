"""Closures cover every block once, and predicted operations are those that run."""

from __future__ import annotations

from collections import Counter
from math import prod

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from secateur.models.binding import bind
from secateur.structure.closure import closure
from secateur.structure.counting import block_tensor_shapes, flops_per_token, head_parameters, unit_parameters
from secateur.structure.plan import PruningPlan
from secateur.structure.units import Unit, units
from secateur.surgery.apply import apply
from zoo import ZOO

TOKENS = {"deit": 18}
"""An image of this family has two tokens beside its patches."""

each = pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name)


def scalars(bound, shape, unit) -> Counter:
    """How many scalar weights of each parameter a closure holds."""
    found = Counter()
    sizes = block_tensor_shapes(bound.spec.family, shape, unit.layer)
    for entry in closure(bound.spec, shape, unit):
        size = sizes[entry.parameter]
        assert max(entry.indices) < size[entry.axis]
        found[entry.layer, entry.parameter] += len(entry.indices) * prod(size) // size[entry.axis]
    return found


@each
def test_closures_are_disjoint_and_with_the_rest_cover_all_block_parameters(specimen):
    bound = bind(specimen.build())
    shape = bound.shape
    kinds = ("group", "cross_group", "channel")
    indices: dict[tuple, Counter] = {}
    total: Counter = Counter()
    for kind in kinds:
        for unit in units(shape, kind):
            total += scalars(bound, shape, unit)
            for entry in closure(bound.spec, shape, unit):
                indices.setdefault((entry.layer, entry.parameter, entry.axis), Counter()).update(
                    entry.indices
                )
    assert all(set(counts.values()) == {1} for counts in indices.values()), "a weight belongs to two units"
    for layer in bound.layers:
        live = {name: parameter.numel() for name, parameter in layer.module.named_parameters()}
        whole = scalars(bound, shape, Unit(kind="layer", layer=layer.index))
        assert {name: count for (_, name), count in whole.items()} == live
        rest = {norm.module for norm in layer.stack.norms} | {
            projection.module for projection in layer.stack.projections if not projection.bias_follows_units
        }
        rest |= {layer.stack.ffn.mixture.router} if layer.stack.ffn.mixture else set()
        rest |= {name.rpartition(".")[0] for name in layer.stack.ffn.activation}
        for name, size in live.items():
            if total[layer.index, name] != size:
                module, _, part = name.rpartition(".")
                assert module in rest and (part == "bias" or total[layer.index, name] == 0), name


@each
def test_parameters_of_one_unit_are_those_of_its_closure(specimen):
    bound = bind(specimen.build())
    shape, family = bound.shape, bound.spec.family
    for layer in bound.layers:
        for kind in layer.kinds:
            found = scalars(bound, shape, Unit(kind=kind, layer=layer.index, index=0))
            assert found.total() == unit_parameters(family, shape, layer.index, kind)
        found = scalars(bound, shape, Unit(kind="head", layer=layer.index, index=0))
        assert found.total() == head_parameters(family, shape, layer.index)


@each
def test_heads_tile_their_group(specimen):
    bound = bind(specimen.build())
    shape = bound.shape
    sharing = shape.heads_per_group(0)
    whole = closure(bound.spec, shape, Unit(kind="group", layer=0, index=0))
    heads = [closure(bound.spec, shape, Unit(kind="head", layer=0, index=index)) for index in range(sharing)]
    of_heads: dict[tuple, set] = {}
    for entries in heads:
        for entry in entries:
            place = (entry.parameter, entry.axis)
            assert not of_heads.setdefault(place, set()) & set(entry.indices)
            of_heads[place] |= set(entry.indices)
    for entry in whole:
        assert of_heads.get((entry.parameter, entry.axis), set()) <= set(entry.indices)
    output = next(p for p in bound.layers[0].stack.projections if p.roles == ("o",))
    assert of_heads[f"{output.module}.weight", output.unit_axis] == {
        index for entry in whole if entry.parameter == f"{output.module}.weight" for index in entry.indices
    }


@each
def test_predicted_operations_are_those_that_run(specimen):
    """Matrix products inside the blocks; rotary tables, norms and activations are not products."""
    tokens = TOKENS.get(specimen.name, {"pixels": 17, "sound": 10}.get(specimen.inputs, 9))
    model = specimen.build(attn_implementation="eager")
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape).without_layers([1])
    last = plan.layers[-1].index
    plan = plan.with_channels(0, range(5)).with_channels(last, range(2, 11))
    if (groups := bound.shape.kv_groups_per_layer[0]) > 1:
        plan = plan.with_groups(0, range(1, groups))
    if crossing := bound.shape.cross_groups_per_layer[last]:
        plan = plan.with_cross_groups(last, range(1, crossing))
    cut = apply(model, plan)
    paths = tuple(bind(cut).block_path(layer) for layer in range(len(plan.layers)))
    counted = 0
    with torch.no_grad(), FlopCounterMode(display=False, depth=12) as counter:
        cut(**specimen.batch(length=tokens))
    for path, operations in counter.get_flop_counts().items():
        if any(path.endswith(f".{block}") or path == block for block in paths):
            counted += sum(operations.values())
    relative = sum(relative_positions(layer, tokens) for layer in bind(cut).layers)
    assert counted == 2 * tokens * flops_per_token(plan, context_tokens=tokens) + relative


def relative_positions(layer, tokens):
    """Operations of DeBERTa's table of relative positions, which no token's share is known of beforehand."""
    attention = getattr(getattr(layer.module, "attention", None), "self", None)
    if not getattr(attention, "relative_attention", False):
        return 0
    rows, width = 2 * attention.pos_ebd_size, layer.widths.attention_width
    projected = 2 * rows * layer.widths.hidden * width
    compared = 2 * (2 * tokens) * rows * width
    return 2 * (projected + compared)
