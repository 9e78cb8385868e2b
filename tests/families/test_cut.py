"""Every family: what a plan leaves computes what the dense model computes without the removed units."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.models.binding import bind
from secateur.structure.closure import kept_features
from secateur.structure.counting import parameters
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.surgery.apply import apply
from secateur.surgery.masks import mask
from zoo import ZOO, Specimen
from zoo_plans import uneven_plan

torch.set_num_threads(1)

FEW = settings(max_examples=4, derandomize=True)
each = pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name)
BUILT: dict[str, torch.nn.Module] = {}


def model_of(specimen: Specimen) -> torch.nn.Module:
    if specimen.name not in BUILT:
        BUILT[specimen.name] = specimen.build()
    return BUILT[specimen.name]


def identity(model) -> PruningPlan:
    bound = bind(model)
    return PruningPlan.identity(bound.spec.family, bound.shape)


def some(draw, count: int) -> tuple[int, ...]:
    chosen = draw(st.sets(st.integers(0, count - 1), min_size=1, max_size=count))
    return tuple(sorted(chosen))


@st.composite
def plans(draw, dense: PruningPlan) -> PruningPlan:
    shape, kept, first = dense.shape, [], 0
    for size in shape.stack_sizes:
        kept += [first + index for index in some(draw, size)]
        first += size
    layers = []
    for index in kept:
        sharing = shape.heads_per_group(index)
        groups = some(draw, shape.kv_groups_per_layer[index])
        width = draw(st.integers(1, sharing))
        heads = tuple(tuple(sorted(draw(st.permutations(range(sharing)))[:width])) for _ in groups)
        crossing = shape.cross_groups_per_layer[index]
        layers.append(
            LayerPlan(
                index=index,
                groups=groups,
                heads=heads,
                channels=some(draw, shape.channels_per_layer[index]),
                cross_groups=some(draw, crossing) if crossing else (),
            )
        )
    return PruningPlan(family=dense.family, shape=shape, layers=tuple(layers))


def outputs(model, batch):
    return model(**batch).logits


@each
@FEW
@given(data=st.data())
def test_masked_dense_equals_cut_in_logits_and_gradients(specimen, data):
    model, batch = model_of(specimen), specimen.batch()
    plan = data.draw(plans(identity(model)))
    cut = apply(model, plan)
    model.zero_grad(set_to_none=True)
    cut.zero_grad(set_to_none=True)
    with mask(model, plan):
        expected = outputs(model, batch)
        expected.square().sum().backward()
    found = outputs(cut, batch)
    found.square().sum().backward()
    require_close(found, expected)
    compared = list(surviving(model, cut, plan))
    assert sum(of_dense.abs().max() > 0 for _, of_dense in compared) > len(compared) / 2
    for of_cut, of_dense in compared:
        require_close(of_cut, of_dense)


@pytest.mark.parametrize(
    "specimen", [s for s in ZOO if "input_ids" in s.batch()], ids=lambda specimen: specimen.name
)
def test_masked_dense_equals_cut_on_padded_text(specimen):
    """Padding reaches position biases (ALiBi) and cross-attention, which are cut by head."""
    model, batch = model_of(specimen), specimen.batch()
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    batch["attention_mask"][0, :3] = 0
    plan = uneven_plan(model)
    with torch.no_grad():
        with mask(model, plan):
            expected = outputs(model, batch)
        found = outputs(apply(model, plan), batch)
        unpadded = outputs(apply(model, plan), {**batch, "attention_mask": None})
    told = "decoder_input_ids" in batch or batch["attention_mask"].bool()
    require_close(found[told], expected[told])
    assert not torch.allclose(found[0, -1], unpadded[0, -1], atol=1e-4)


def require_close(found, expected):
    """Equal but for rounding, judged by the size of the largest entry."""
    size = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-5 * size)


def surviving(model, cut, plan):
    """Pairs of gradients: of what is left in the cut model, and of the same weights in the dense one."""
    bound, own = bind(model), bind(cut)
    for layer, kept in zip(own.layers, plan.layers, strict=True):
        dense = bound.layers[kept.index]
        for after, before in zip(layer.all_projections, dense.all_projections, strict=True):
            places = torch.from_numpy(kept_features(before.spec, dense.widths, kept))
            axis = before.spec.unit_axis
            yield after.module.weight.grad, before.module.weight.grad.index_select(axis, places)
            if after.module.bias is not None and before.spec.bias_follows_units:
                yield after.module.bias.grad, before.module.bias.grad[places]
    inside = tuple(own.block_path(layer.index) for layer in own.layers)
    outside = dict(model.named_parameters())
    for name, parameter in cut.named_parameters():
        if not name.startswith(inside) and parameter.grad is not None:
            yield parameter.grad, outside[name].grad


@each
@FEW
@given(data=st.data())
def test_parameters_are_predicted_exactly(specimen, data):
    model = model_of(specimen)
    dense = identity(model)
    assert parameters(dense) == sum(p.numel() for p in model.parameters())
    plan = data.draw(plans(dense))
    cut = apply(model, plan)
    assert parameters(plan) == sum(p.numel() for p in cut.parameters())
    assert bind(cut).shape == plan.result


@pytest.mark.long
@each
@FEW
@given(data=st.data())
def test_a_second_cut_composes_with_the_first(specimen, data):
    model, batch = model_of(specimen), specimen.batch()
    first = data.draw(plans(identity(model)))
    cut = apply(model, first)
    second = data.draw(plans(identity(cut)))
    with torch.no_grad():
        found = outputs(apply(cut, second), batch)
        expected = outputs(apply(model, first.then(second)), batch)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
