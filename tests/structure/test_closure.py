"""Closures: disjoint, complete, and known by hand on a small model."""

from __future__ import annotations

from itertools import product

import pytest

from secateur.structure.closure import LayerWidths, closure, kept_features, role_features
from secateur.structure.counting import block_tensor_shapes
from secateur.structure.plan import LayerPlan
from secateur.structure.shape import ModelShape
from secateur.structure.spec import ProjectionSpec, load_spec
from secateur.structure.units import Unit, units

ALL_ROLES = ("q", "k", "v", "o", "gate", "up", "down")
PLAIN_ROLES = ("q", "k", "v", "o", "up", "down")


def shape(groups: tuple[int, ...], biased_roles: tuple[str, ...] = ()) -> ModelShape:
    return ModelShape(
        n_layers=2,
        hidden=6,
        head_dim=2,
        heads_per_layer=(4, 6),
        kv_groups_per_layer=groups,
        channels_per_layer=(5, 3),
        other_parameters=11,
        biased_roles=biased_roles,
    )


CASES = [
    ("gpt2", shape((4, 6), PLAIN_ROLES)),
    ("llama", shape((2, 3))),
    ("llama", shape((2, 3), ("q", "k", "v"))),
    ("llama", shape((1, 6), ALL_ROLES)),
]


def elements(spec, model_shape, unit) -> set[tuple]:
    """Every scalar weight that the closure of a unit holds."""
    sizes = block_tensor_shapes(spec.family, model_shape, unit.layer)
    found = set()
    for entry in closure(spec, model_shape, unit):
        ranges = [range(size) for size in sizes[entry.parameter]]
        ranges[entry.axis] = entry.indices
        found |= {(entry.layer, entry.parameter, *position) for position in product(*ranges)}
    return found


@pytest.mark.parametrize(("family", "model_shape"), CASES)
def test_closures_are_disjoint_and_cover_all_but_norms_and_output_biases(family, model_shape):
    spec = load_spec(family)
    every = [unit for kind in ("group", "channel") for unit in units(model_shape, kind)]
    per_unit = [elements(spec, model_shape, unit) for unit in every]
    covered = set().union(*per_unit)
    assert sum(map(len, per_unit)) == len(covered)

    norms = {f"{norm.module}.{part}" for norm in spec.stacks[0].norms for part in ("weight", "bias")}
    output_biases = {
        f"{projection.module}.bias"
        for projection in spec.stacks[0].projections
        if not projection.bias_follows_units
    }
    belongs_to_layer = norms | output_biases
    for layer in range(model_shape.n_layers):
        sizes = block_tensor_shapes(spec.family, model_shape, layer)
        whole = {
            (layer, name, *position)
            for name, size in sizes.items()
            for position in product(*(range(extent) for extent in size))
        }
        assert elements(spec, model_shape, Unit(kind="layer", layer=layer)) == whole
        of_units = {element for element in covered if element[0] == layer}
        assert of_units == {element for element in whole if element[1] not in belongs_to_layer}


def test_group_of_grouped_query_attention_by_hand():
    found = closure(load_spec("llama"), shape((2, 3)), Unit(kind="group", layer=0, index=1))
    assert {(entry.parameter, entry.axis, entry.indices) for entry in found} == {
        ("self_attn.q_proj.weight", 0, (4, 5, 6, 7)),
        ("self_attn.k_proj.weight", 0, (2, 3)),
        ("self_attn.v_proj.weight", 0, (2, 3)),
        ("self_attn.o_proj.weight", 1, (4, 5, 6, 7)),
    }


def test_head_of_fused_attention_by_hand():
    found = closure(load_spec("gpt2"), shape((4, 6), PLAIN_ROLES), Unit(kind="group", layer=0, index=1))
    rows = (2, 3, 10, 11, 18, 19)
    assert {(entry.parameter, entry.axis, entry.indices) for entry in found} == {
        ("attn.c_attn.weight", 1, rows),
        ("attn.c_attn.bias", 0, rows),
        ("attn.c_proj.weight", 0, (2, 3)),
    }


def test_gated_channel_by_hand():
    found = closure(load_spec("llama"), shape((2, 3)), Unit(kind="channel", layer=1, index=2))
    assert {(entry.parameter, entry.axis, entry.indices) for entry in found} == {
        ("mlp.gate_proj.weight", 0, (2,)),
        ("mlp.up_proj.weight", 0, (2,)),
        ("mlp.down_proj.weight", 1, (2,)),
    }


@pytest.mark.parametrize(("family", "model_shape"), CASES)
def test_keeping_all_units_is_the_whole_axis(family, model_shape):
    widths = LayerWidths.of(model_shape, 1)
    everything = LayerPlan(
        index=1, groups=tuple(range(widths.groups)), channels=tuple(range(widths.channels))
    )
    for projection in load_spec(family).stacks[0].projections:
        features = kept_features(projection, widths, everything)
        assert features.tolist() == list(range(widths.features(projection)))


WIDTHS = LayerWidths(hidden=6, head_dim=2, heads=4, groups=2, channels=3)


def test_layouts_by_hand():
    roles = ("q", "k", "v")
    one_behind_the_other = ProjectionSpec(module="m", roles=roles, layout="concatenated")
    places = role_features(one_behind_the_other, WIDTHS)
    assert places["q"].tolist() == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    assert places["k"].tolist() == [[8, 9], [10, 11]]
    assert places["v"].tolist() == [[12, 13], [14, 15]]
    group_by_group = ProjectionSpec(module="m", roles=roles, layout="interleaved")
    places = role_features(group_by_group, WIDTHS)
    assert places["q"].tolist() == [[[0, 1], [2, 3]], [[8, 9], [10, 11]]]
    assert places["k"].tolist() == [[4, 5], [12, 13]]
    assert places["v"].tolist() == [[6, 7], [14, 15]]


def test_heads_inside_groups_keep_all_keys_and_values_of_their_groups():
    kept = LayerPlan(index=0, groups=(0, 1), heads=((1,), (0,)), channels=(0, 2))
    fused = ProjectionSpec(module="m", roles=("q", "k", "v"), layout="interleaved")
    assert kept_features(fused, WIDTHS, kept).tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15]
    output = ProjectionSpec(module="m", roles=("o",))
    assert kept_features(output, WIDTHS, kept).tolist() == [2, 3, 4, 5]


def test_head_by_hand_lies_inside_its_group():
    found = closure(load_spec("llama"), shape((2, 3)), Unit(kind="head", layer=0, index=3))
    assert {(entry.parameter, entry.axis, entry.indices) for entry in found} == {
        ("self_attn.q_proj.weight", 0, (6, 7)),
        ("self_attn.o_proj.weight", 1, (6, 7)),
    }


def test_units_are_enumerated_layer_by_layer():
    groups = units(shape((2, 3)), "group")
    assert [(unit.layer, unit.index) for unit in groups] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert len(units(shape((2, 3)), "channel")) == 8
    assert units(shape((2, 3)), "layer") == (Unit(kind="layer", layer=0), Unit(kind="layer", layer=1))
