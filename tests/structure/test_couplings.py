"""Couplings: the formulas give what the closures list, and read as a practitioner would say them."""

from __future__ import annotations

from itertools import groupby

import pytest

from secateur.structure.closure import closure
from secateur.structure.couplings import Entries, couplings, notes
from secateur.structure.limits import largest_ratio, limits, plain_cuts
from secateur.structure.shape import ModelShape
from secateur.structure.spec import ROLES, known_specs, load_spec
from secateur.structure.units import Unit, units


def shape(heads: int, groups: int, biased_roles: tuple[str, ...] = (), **more) -> ModelShape:
    sizes = {"n_layers": 1, "heads_per_layer": (heads,), "kv_groups_per_layer": (groups,)}
    sizes |= {"hidden": 12, "head_dim": 4, "channels_per_layer": (10,), "other_parameters": 100}
    return ModelShape(**sizes | {"biased_roles": biased_roles} | more)


def spoken(family: str, model_shape: ModelShape) -> dict[str, str]:
    return {entry.kind: entry.statement for entry in couplings(load_spec(family), model_shape, 0)}


def test_llama_by_hand():
    found = spoken("llama", shape(heads=6, groups=2))
    assert found == {
        "group": "one KV group g = key head g + value head g + query heads 3g..3g+2: rows 12g..12g+11 of "
        "q_proj; rows 4g..4g+3 of k_proj and v_proj; columns 12g..12g+11 of o_proj",
        "head": "one query head h of KV group g (the same number in each group of a layer): rows "
        "12g+4h..12g+4h+3 of q_proj; columns 12g+4h..12g+4h+3 of o_proj",
        "channel": "one channel j: row j of gate_proj and up_proj; column j of down_proj",
    }
    pairs = {entry.kind: entry.multiplied for entry in couplings(load_spec("llama"), shape(6, 2), 0)}
    assert pairs == {"group": ("q", "k"), "head": ("q", "k"), "channel": ("gate", "up")}


def test_llama_with_one_group_by_hand():
    found = spoken("llama", shape(heads=3, groups=1))
    assert found["group"] == (
        "the one KV group = the key head + the value head + query heads 0..2: rows 0..11 of q_proj; rows "
        "0..3 of k_proj and v_proj; columns 0..11 of o_proj"
    )
    assert found["head"].endswith("rows 4h..4h+3 of q_proj; columns 4h..4h+3 of o_proj")


def test_gpt2_by_hand():
    model_shape = shape(heads=3, groups=3, biased_roles=("q", "k", "v", "o", "up", "down"))
    assert spoken("gpt2", model_shape) == {
        "group": "one head g = query, key and value head g: columns 4g..4g+3 (q), 4g+12..4g+15 (k), "
        "4g+24..4g+27 (v) of c_attn; rows 4g..4g+3 of attn.c_proj; the same entries of the bias of c_attn",
        "channel": "one channel j: column j of c_fc; row j of mlp.c_proj; "
        "the same entries of the bias of c_fc",
    }
    assert notes(load_spec("gpt2"), model_shape, 0) == (
        "c_attn holds q, k and v, one behind the other",
        "q x k: query and key features are multiplied inside each head and are cut together",
        "the bias of attn.c_proj and mlp.c_proj belongs to the layer, not to a unit",
    )


def two_layers_a_stack(family: str) -> ModelShape:
    """Widths in which no two numbers agree by accident, with cross-attention where the family has it."""
    spec = load_spec(family)
    stacks = len(spec.stacks)
    roles = {role for stack in spec.stacks for part in stack.projections for role in part.roles}
    cross = [2 * (stack.cross_attention is not None) for stack in spec.stacks for _ in range(2)]
    return ModelShape(
        n_layers=2 * stacks,
        hidden=20,
        head_dim=3,
        heads_per_layer=(6, 2) * stacks,
        kv_groups_per_layer=(6, 2) * stacks,
        channels_per_layer=(7, 5) * stacks,
        other_parameters=11,
        biased_roles=tuple(role for role in ROLES if role in roles),
        stack_sizes=(2,) * stacks,
        cross_heads_per_layer=tuple(cross),
        cross_groups_per_layer=tuple(cross),
    )


@pytest.mark.parametrize("family", sorted(known_specs()))
def test_formulas_give_the_closure_of_every_unit(family):
    spec = load_spec(family)
    model_shape = two_layers_a_stack(family)
    for layer in range(model_shape.n_layers):
        for coupling in couplings(spec, model_shape, layer):
            own = [unit for unit in units(model_shape, coupling.kind) if unit.layer == layer]
            assert coupling.units == len(own)
            for unit in own:
                assert rebuilt(coupling, unit) == slices(spec, model_shape, unit)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_formulas_give_the_closure_of_query_heads(groups):
    spec, model_shape = load_spec("llama"), shape(heads=6, groups=groups)
    head = next(entry for entry in couplings(spec, model_shape, 0) if entry.kind == "head")
    for unit in units(model_shape, "head"):
        assert rebuilt(head, unit, sharing=6 // groups) == slices(spec, model_shape, unit)


def rebuilt(coupling, unit: Unit, sharing: int = 1) -> dict[str, tuple[int, ...]]:
    numbers = {"g": unit.index, "j": unit.index}
    if unit.kind == "head":
        numbers = dict(zip("gh", divmod(unit.index, sharing), strict=True))
    found: dict[str, list[int]] = {}
    for module, members in groupby(coupling.members, key=lambda member: member.module):
        for member in members:
            first = member.entries.first(**numbers)
            own = list(range(first, first + member.entries.width))
            found.setdefault(f"{module}.weight", []).extend(own)
            if member.biased:
                found.setdefault(f"{module}.bias", []).extend(own)
    return {name: tuple(sorted(indices)) for name, indices in found.items()}


def slices(spec, model_shape, unit) -> dict[str, tuple[int, ...]]:
    return {entry.parameter: tuple(sorted(entry.indices)) for entry in closure(spec, model_shape, unit)}


def test_a_formula_reads_as_it_counts():
    entries = Entries(offset=5, strides=(("g", 12), ("h", 1)), width=1)
    assert entries.text == "12g+h+5"
    assert entries.first(g=2, h=3) == 32


def test_limits_tell_what_stays_and_how_far_a_cut_goes():
    spec, model_shape = load_spec("llama"), shape(heads=3, groups=1, n_layers=1)
    told = {entry.part: entry.cuttable for entry in limits(spec, model_shape)}
    assert told["layers"] is False
    assert told["KV groups"] is False
    assert told["query heads inside KV groups"] is True
    assert told["FFN channels"] is True
    assert told["hidden width"] is False
    assert "vocabulary rows" not in told

    # 12x(12+4+4+12) attention, 3x12x10 FFN, 24 norms, 100 outside; at the end one head and one channel
    dense, smallest = 12 * 32 + 360 + 24 + 100, 12 * 16 + 36 + 24 + 100
    assert largest_ratio(spec, model_shape, cut_heads=True) == pytest.approx(dense / smallest)


def test_heads_of_a_family_without_a_head_width_in_its_configuration_are_no_plain_cut():
    assert plain_cuts(load_spec("llama")) == ("layers", "heads", "groups", "channels")
    assert plain_cuts(load_spec("gpt2")) == ("layers", "channels")
