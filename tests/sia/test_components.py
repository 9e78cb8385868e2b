"""What component definitions name: known by hand, and complete."""

from __future__ import annotations

import pytest

from secateur.sia.components import Part, parts, present, removed
from secateur.structure.shape import ModelShape
from secateur.structure.spec import load_spec
from secateur.structure.units import Unit


def shape(groups: int = 2, biased_roles: tuple[str, ...] = (), layers: int = 2) -> ModelShape:
    return ModelShape(
        n_layers=layers,
        hidden=8,
        head_dim=2,
        heads_per_layer=(4,) * layers,
        kv_groups_per_layer=(groups,) * layers,
        channels_per_layer=(3,) * layers,
        other_parameters=5,
        biased_roles=biased_roles,
    )


def slices(family: str, model_shape: ModelShape, part: Part) -> set[tuple]:
    found = removed(load_spec(family), model_shape, part)
    return {(entry.parameter, entry.axis, entry.indices) for entry in found}


def test_a_single_query_head_is_a_definition_only_where_keys_are_shared():
    assert present(shape(groups=4)) == ("layer", "group", "channel", "matrix")
    assert present(shape(groups=2)) == ("layer", "group", "head", "channel", "matrix")


@pytest.mark.parametrize(
    ("component", "count"), [("layer", 2), ("group", 4), ("head", 8), ("channel", 6), ("matrix", 18)]
)
def test_counts_of_parts(component, count):
    found = parts(load_spec("llama"), shape(groups=2), component)
    assert len(found) == len(set(found)) == count
    assert len(parts(load_spec("llama"), shape(groups=2), component, layer=1)) == count // 2


def test_plain_ffn_has_two_matrices_to_choose_from():
    roles = {part.role for part in parts(load_spec("gpt2"), shape(groups=4), "matrix")}
    assert roles == {"up", "down"}


def test_one_query_head_names_its_key_and_value_where_they_are_its_own():
    part = Part(component="head", unit=Unit(kind="head", layer=0, index=1))
    rows = (2, 3)
    assert slices("llama", shape(groups=2), part) == {
        ("self_attn.q_proj.weight", 0, rows),
        ("self_attn.o_proj.weight", 1, rows),
    }
    assert slices("llama", shape(groups=4), part) == {
        ("self_attn.q_proj.weight", 0, rows),
        ("self_attn.k_proj.weight", 0, rows),
        ("self_attn.v_proj.weight", 0, rows),
        ("self_attn.o_proj.weight", 1, rows),
    }


def test_one_row_of_a_fused_matrix_with_its_bias():
    unit = Unit(kind="channel", layer=0, index=2)
    biased = shape(biased_roles=("gate", "up"))
    gate = Part(component="matrix", unit=unit, role="gate")
    up = Part(component="matrix", unit=unit, role="up")
    assert slices("phi3", biased, gate) == {
        ("mlp.gate_up_proj.weight", 0, (2,)),
        ("mlp.gate_up_proj.bias", 0, (2,)),
    }
    assert slices("phi3", biased, up) == {
        ("mlp.gate_up_proj.weight", 0, (5,)),
        ("mlp.gate_up_proj.bias", 0, (5,)),
    }


def test_one_column_of_down_keeps_the_bias_of_the_layer():
    part = Part(component="matrix", unit=Unit(kind="channel", layer=1, index=0), role="down")
    assert slices("gpt2", shape(groups=4, biased_roles=("up", "down")), part) == {
        ("mlp.c_proj.weight", 0, (0,))
    }


def test_groups_of_an_attention_over_an_encoder_are_groups_too():
    crossing = ModelShape(
        n_layers=2,
        hidden=8,
        head_dim=2,
        heads_per_layer=(4, 4),
        kv_groups_per_layer=(4, 4),
        channels_per_layer=(3, 3),
        other_parameters=5,
        stack_sizes=(1, 1),
        cross_heads_per_layer=(0, 4),
        cross_groups_per_layer=(0, 4),
    )
    found = parts(load_spec("bart"), crossing, "group")
    assert [part.unit.kind for part in found].count("cross_group") == 4
    assert len(found) == 12
