"""The structural part: verdicts known by hand, closures of every family, claims held against real blocks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch

from secateur.models.binding import BoundModel, bind
from secateur.sia.graph import coupling_graph
from secateur.sia.structural import check_structure, part_of_nodes
from secateur.structure.closure import LayerWidths, closure
from secateur.structure.counting import block_tensor_shapes
from secateur.structure.plan import PruningPlan
from secateur.structure.shape import ModelShape
from secateur.structure.spec import known_specs, load_spec
from secateur.structure.units import Unit, units
from secateur.surgery.masks import mask
from zoo import ZOO, Specimen

NAMES = [specimen.name for specimen in ZOO]


@cache
def bound(name: str) -> BoundModel:
    return bind(next(specimen for specimen in ZOO if specimen.name == name).build())


def shape(groups: tuple[int, ...], heads: tuple[int, ...] = (6, 6)) -> ModelShape:
    return ModelShape(
        n_layers=2,
        hidden=12,
        head_dim=2,
        heads_per_layer=heads,
        kv_groups_per_layer=groups,
        channels_per_layer=(5, 3),
        other_parameters=11,
    )


def test_zoo_holds_every_family():
    assert {specimen.family for specimen in ZOO} == set(known_specs())


@pytest.mark.parametrize("name", NAMES)
def test_closed_definitions_are_disjoint_and_cover_the_blocks(name):
    model = bound(name)
    found = check_structure(model.spec, model.shape)
    for component in ("layer", "group", "channel"):
        assert found.definition(component).holds, component
    for layer in range(model.shape.n_layers):
        graph, widths = coupling_graph(model.spec, model.shape, layer), LayerWidths.of(model.shape, layer)
        named = [part_of_nodes(component, graph, widths) for component in ("group", "channel")]
        assert (sum((part >= 0).astype(int) for part in named) == 1).all()
        sizes = block_tensor_shapes(model.spec.family, model.shape, layer)
        covered = _scalars(graph.weights(np.arange(graph.n_nodes)), sizes)
        assert covered == _of_units(model, layer, sizes)


def _scalars(slices, sizes) -> set[tuple]:
    found = set()
    for entry in slices:
        ranges = [range(extent) for extent in sizes[entry.parameter]]
        ranges[entry.axis] = entry.indices
        found |= {(entry.parameter, *place) for place in product(*ranges)}
    return found


def _of_units(model: BoundModel, layer: int, sizes) -> set[tuple]:
    """Every scalar of a block but those of norms over the stream or one head, of activations, and biases of
    outputs.
    """
    stack = model.spec.stacks[model.shape.stack_of(layer)]
    of_layer = {
        f"{norm.module}.{part}"
        for norm in stack.norms
        if norm.size in ("hidden", "head_dim")
        for part in ("weight", "bias")
    }
    of_layer |= {f"{p.module}.bias" for p in stack.projections if not p.bias_follows_units}
    of_layer |= set(stack.ffn.activation)
    of_layer |= {f"{stack.ffn.mixture.router}.weight"} if stack.ffn.mixture else set()
    return {
        (name, *place)
        for name, size in sizes.items()
        if name not in of_layer
        for place in product(*(range(extent) for extent in size))
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_finds_the_closures_that_the_specification_declares(name):
    """Two derivations of one thing: from the forward pass, and from what the family's file says of units."""
    model = bound(name)
    for layer in {0, model.shape.n_layers - 1}:
        graph, widths = coupling_graph(model.spec, model.shape, layer), LayerWidths.of(model.shape, layer)
        for component, kinds in (("group", ("group", "cross_group")), ("channel", ("channel",))):
            part = part_of_nodes(component, graph, widths)
            declared = [u for kind in kinds for u in units(model.shape, kind) if u.layer == layer]
            assert part.max() + 1 == len(declared)
            for number, unit in enumerate(declared):
                nodes = np.flatnonzero(part == number)
                # any row of a channel brings the others; a group is known by its key
                forced = graph.closure(nodes[:1] if component == "channel" else nodes)
                assert set(graph.weights(forced)) == set(closure(model.spec, model.shape, unit))


def test_one_query_head_is_no_unit_where_keys_are_shared():
    found = check_structure(load_spec("llama"), shape((3, 2))).definition("head")
    assert (found.closed, found.disjoint, found.parts) == (False, False, 12)
    assert found.sharing == 3, "the heads at one place of three groups"
    assert found.closed_form == "group"
    assert "KV group" in found.repair[0] and "same number of query heads" in found.repair[1]


def test_one_query_head_of_several_groups_forces_one_out_of_each():
    graph = coupling_graph(load_spec("llama"), shape((3, 3)), 0)
    part = part_of_nodes("head", graph, LayerWidths.of(shape((3, 3)), 0))
    forced = graph.weights(graph.closure(np.flatnonzero(part == 1)))
    assert {(entry.parameter, entry.indices) for entry in forced} == {
        ("self_attn.q_proj.weight", (2, 3, 6, 7, 10, 11)),
        ("self_attn.o_proj.weight", (2, 3, 6, 7, 10, 11)),
    }


def test_all_query_heads_of_a_group_force_their_key_and_value_out():
    graph = coupling_graph(load_spec("llama"), shape((3, 3)), 0)
    heads = part_of_nodes("head", graph, LayerWidths.of(shape((3, 3)), 0))
    forced = graph.weights(graph.closure(np.flatnonzero((heads == 2) | (heads == 3))))
    whole = closure(load_spec("llama"), shape((3, 3)), Unit(kind="group", layer=0, index=1))
    assert set(forced) == set(whole)


def test_one_query_head_is_a_unit_where_it_has_its_own_key():
    found = check_structure(load_spec("llama"), shape((6, 6)))
    assert [entry.component for entry in found.definitions] == ["layer", "group", "channel", "matrix"]
    graph, widths = coupling_graph(load_spec("llama"), shape((6, 6)), 0), LayerWidths.of(shape((6, 6)), 0)
    head = part_of_nodes("head", graph, widths)
    assert np.array_equal(head, part_of_nodes("group", graph, widths))
    for number in range(6):
        nodes = np.flatnonzero(head == number)
        assert np.array_equal(graph.closure(nodes), nodes)


def test_one_query_head_of_the_only_group_is_a_unit():
    """Nothing has to keep step with it, and its number moves no other head to another key."""
    found = check_structure(load_spec("gemma"), shape((1, 1)))
    assert found.definition("head").holds
    assert "must stay" in found.definition("group").repair[0]


def test_a_layer_with_shared_keys_is_named_among_others():
    found = check_structure(load_spec("llama"), shape((6, 3))).definition("head")
    assert found.open_layers == (1,)
    assert "2 query heads" in found.reason


@pytest.mark.parametrize(("family", "matrices"), [("llama", 3), ("gpt2", 2)])
def test_one_row_of_one_matrix_is_no_unit(family, matrices):
    found = check_structure(load_spec(family), shape((6, 6))).definition("matrix")
    assert (found.closed, found.disjoint) == (False, False)
    assert (found.named, found.forced, found.sharing) == (1, matrices, matrices)
    assert found.parts == matrices * 8
    assert found.closed_form == "channel"


def test_products_are_told():
    found = check_structure(load_spec("llama"), shape((3, 3))).graphs[0]
    multiplied = {entry.ends: entry.edges for entry in found.edges if entry.multiplied}
    assert multiplied == {("q", "k"): 6, ("gate", "up"): 5}


def _with_three_units(specimen: Specimen) -> Specimen | None:
    """A variant with a key for each head, so that two groups can go; None where there is none."""
    layers = bind(specimen.build()).shape.kv_groups_per_layer
    if min(layers) > 2:
        return specimen
    name = {"falcon": "num_kv_heads", "falcon_mqa": None}.get(specimen.family, "num_key_value_heads")
    return None if name is None else replace(specimen, settings={**specimen.settings, name: 4})


def _second_difference(specimen: Specimen, component: str) -> tuple[float, float]:
    """Norm of f - f_i - f_j + f_ij at the output of the last block, and of f - f_i."""
    model = specimen.build().double()
    whole = bind(model)
    last = whole.layers[-1]
    with torch.no_grad():
        for kind in last.kinds:
            if kind != component:
                last.output(kind).weight.zero_()
    plan = PruningPlan.identity(whole.spec.family, whole.shape)
    count = last.units(component)
    keep = plan.with_groups if component == "group" else plan.with_channels
    without = {
        gone: keep(last.index, [unit for unit in range(count) if unit not in gone])
        for gone in ((), (0,), (1,), (0, 1))
    }
    out = {gone: _stream_behind(last, model, specimen, entry) for gone, entry in without.items()}
    gap = out[()] - out[(0,)] - out[(1,)] + out[(0, 1)]
    return float(gap.norm()), float((out[()] - out[(0,)]).norm())


def _stream_behind(layer, model, specimen: Specimen, plan: PruningPlan) -> torch.Tensor:
    seen = []
    handle = layer.module.register_forward_hook(
        lambda _module, _args, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    batch = {
        name: value.double() if value.is_floating_point() else value
        for name, value in specimen.batch().items()
    }
    with mask(model, plan), torch.no_grad():
        model(**batch)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("component", ["group", "channel"])
@pytest.mark.parametrize("name", NAMES)
def test_additive_terms_add_up_in_the_stream_and_others_do_not(name, component):
    """Remove two units of the last block, singly and together, and look at what leaves the block."""
    specimen = next(entry for entry in ZOO if entry.name == name)
    if component == "group" and (specimen := _with_three_units(specimen)) is None:
        pytest.skip("one KV group: no two of them can go")
    whole = bind(specimen.build())
    additive = check_structure(whole.spec, whole.shape).definition(component).additive
    gap, size = _second_difference(specimen, component)
    assert size > 1e-3
    assert gap < 1e-5 * size if additive else gap > 1e-3 * size, f"gap {gap:.2g} of {size:.2g}"
