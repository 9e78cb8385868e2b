"""Plans: validity, composition, and their way through JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import PlanError
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.structure.plan_file import plan_from_json, plan_to_json
from secateur.structure.shape import ModelShape

SHAPE = ModelShape(
    n_layers=3,
    hidden=32,
    head_dim=8,
    heads_per_layer=(4, 4, 2),
    kv_groups_per_layer=(2, 4, 2),
    channels_per_layer=(6, 5, 9),
    other_parameters=100,
    biased_roles=("q", "k", "v"),
    vocabulary=5,
    parameters_per_token=4,
)
DENSE = PruningPlan.identity("llama", SHAPE)


@st.composite
def plans(draw: st.DrawFn, shape: ModelShape = SHAPE) -> PruningPlan:
    def subset(count: int) -> tuple[int, ...]:
        return tuple(sorted(draw(st.sets(st.integers(0, count - 1), min_size=1))))

    def layer(index: int) -> LayerPlan:
        groups, per_group = subset(shape.kv_groups_per_layer[index]), shape.heads_per_group(index)
        kept = draw(st.integers(1, per_group))
        equally_many = st.permutations(range(per_group)).map(lambda order: tuple(sorted(order[:kept])))
        return LayerPlan(
            index=index,
            groups=groups,
            channels=subset(shape.channels_per_layer[index]),
            heads=tuple(draw(equally_many) for _ in groups),
        )

    tokens = subset(shape.vocabulary) if draw(st.booleans()) else None
    layers = tuple(map(layer, subset(shape.n_layers)))
    return PruningPlan(family="llama", shape=shape, layers=layers, tokens=tokens)


def test_identity_keeps_everything():
    assert DENSE.is_identity
    assert DENSE.result == SHAPE
    assert DENSE.removed_layers == ()


def test_removals_use_dense_indices_and_show_in_the_result():
    plan = DENSE.without_layers([0]).with_groups(1, [3, 1]).with_channels(2, [8])
    assert not plan.is_identity
    assert plan.removed_layers == (0,)
    assert [(layer.index, layer.groups, layer.channels) for layer in plan.layers] == [
        (1, (1, 3), (0, 1, 2, 3, 4)),
        (2, (0, 1), (8,)),
    ]
    assert plan.result == replace(
        SHAPE, n_layers=2, heads_per_layer=(2, 2), kv_groups_per_layer=(2, 2), channels_per_layer=(5, 1)
    )


def test_cutting_groups_takes_their_query_heads():
    assert DENSE.with_groups(0, [1]).result.heads_per_layer == (2, 4, 2)


def test_composition_translates_to_dense_indices():
    first = DENSE.without_layers([1]).with_channels(2, [2, 4, 8]).with_groups(0, [1])
    second = PruningPlan.identity("llama", first.result).without_layers([0]).with_channels(1, [0, 2])
    combined = first.then(second)
    assert [(layer.index, layer.groups, layer.channels) for layer in combined.layers] == [(2, (0, 1), (2, 8))]
    assert combined.shape == SHAPE


@given(data=st.data())
def test_composition_is_associative_and_keeps_the_result(data):
    first = data.draw(plans())
    second = data.draw(plans(first.result))
    third = data.draw(plans(second.result))
    assert first.then(second).then(third) == first.then(second.then(third))
    assert first.then(second).result == second.result
    assert first.then(PruningPlan.identity("llama", first.result)) == first
    assert DENSE.then(first) == first


@given(plan=plans())
def test_json_round_trip(plan):
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


def test_composition_refuses_a_plan_for_another_model():
    cut = DENSE.without_layers([0])
    with pytest.raises(PlanError, match="made for 3 layers"):
        cut.then(DENSE)
    with pytest.raises(PlanError, match="'gpt2'"):
        DENSE.then(replace(DENSE, family="gpt2"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: DENSE.without_layers([0, 1, 2]), "layers: none is kept"),
        (lambda: DENSE.without_layers([3]), "layer 3 is not in the plan"),
        (lambda: DENSE.with_groups(0, []), "groups of layer 0: none is kept"),
        (lambda: DENSE.with_groups(0, [2]), r"only 0\.\.1"),
        (lambda: DENSE.with_channels(1, [1, 1]), "without repeats"),
        (lambda: DENSE.with_channels(1, [-1, 1]), "not negative"),
        (lambda: DENSE.with_channels(1, [5]), r"only 0\.\.4"),
        (lambda: replace(DENSE, layers=DENSE.layers[::-1]), "ascending"),
    ],
)
def test_invalid_plans_are_refused(change, message):
    with pytest.raises(PlanError, match=message):
        change()


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value.pop("shape"),
        lambda value: value.update(version=99),
        lambda value: value["layers"][0].pop("groups"),
        lambda value: value["layers"].append({"index": 0, "groups": [0], "channels": [0]}),
        lambda value: value["shape"].update(colour="red"),
        lambda value: value.update(layers=None),
        lambda value: value["layers"][0].update(groups=[0.5]),
        lambda value: value["shape"].update(hidden="wide"),
    ],
)
def test_damaged_json_is_refused(damage):
    value = json.loads(json.dumps(plan_to_json(DENSE)))
    damage(value)
    with pytest.raises(PlanError):
        plan_from_json(value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_layers": 2}, "one entry a layer"),
        ({"heads_per_layer": (3, 4, 2)}, "3 query heads in 2 groups"),
        ({"channels_per_layer": (0, 1, 1)}, "at least 1"),
        ({"other_parameters": -1}, "not be negative"),
    ],
)
def test_contradictory_shapes_are_refused(fields, message):
    with pytest.raises(PlanError, match=message):
        replace(SHAPE, **fields)


def test_absent_norms_leave_with_their_layer_and_older_shapes_told_them_for_all():
    shape = replace(SHAPE, absent_norms_per_layer=(("first",), *((),) * (SHAPE.n_layers - 1)))
    assert PruningPlan.identity("gpt2", shape).without_layers([0]).result.absent_norms_per_layer == ()
    kept = PruningPlan.identity("gpt2", shape).without_layers([1]).result
    assert [kept.absent_norms(layer) for layer in range(kept.n_layers)][:2] == [("first",), ()]
    assert ModelShape.from_json(shape.to_json()) == shape
    older = {name: value for name, value in SHAPE.to_json().items() if name != "absent_norms_per_layer"}
    assert ModelShape.from_json({**older, "absent_norms": []}) == SHAPE
    lacking = ModelShape.from_json({**older, "absent_norms": ["ln"]})
    assert lacking.absent_norms_per_layer == (("ln",),) * SHAPE.n_layers
    with pytest.raises(PlanError, match="one entry of absent norms a layer"):
        replace(SHAPE, absent_norms_per_layer=(("ln",),) * (SHAPE.n_layers + 1))
