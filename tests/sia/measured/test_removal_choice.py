from __future__ import annotations

import numpy as np
import pytest

from secateur.models.binding import bind
from secateur.sia.measured.removal_choice import apart_removal, choices, closed_removal
from secateur.structure.counting import block_parameters, shape_parameters
from secateur.structure.plan import PruningPlan
from secateur.surgery.apart import cut_apart
from zoo import ZOO

NAMED = {specimen.name: specimen for specimen in ZOO}
FRACTIONS = (0.125, 0.25, 0.5, 0.75)


@pytest.fixture(scope="module")
def llama():
    """Three layers, four query heads in two groups, twelve channels."""
    return NAMED["llama"].build()


def test_parts_that_come_to_the_same_units_are_listed_once(llama):
    shape = bind(llama).shape
    assert [choice.counts for choice in choices("llama", shape, "group", FRACTIONS)] == [(1, 1, 1)]
    assert [choice.counts for choice in choices("llama", shape, "layer", FRACTIONS)] == [(1,), (2,)]
    channels = choices("llama", shape, "channel", FRACTIONS)
    assert [choice.counts for choice in channels] == [(1,) * 3, (3,) * 3, (6,) * 3, (9,) * 3]
    assert [choice.fraction for choice in channels] == [1 / 12, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("component", ["layer", "group", "head", "channel"])
def test_parameters_are_those_that_the_plan_loses(llama, component):
    shape = bind(llama).shape
    choice = choices("llama", shape, component, FRACTIONS)[-1]
    plan = PruningPlan.identity("llama", shape)
    if component == "layer":
        plan = plan.without_layers(range(choice.counts[0]))
    for layer in range(3 if component != "layer" else 0):
        if component == "group":
            plan = plan.with_groups(layer, [0])
        elif component == "head":
            plan = plan.with_heads(layer, [[0], [0]])
        else:
            plan = plan.with_channels(layer, range(12 - choice.counts[layer]))
    lost = shape_parameters("llama", shape) - shape_parameters("llama", plan.result)
    assert choice.parameters == pytest.approx(lost / block_parameters("llama", shape))


def test_the_least_units_of_each_layer_go(llama):
    shape = bind(llama).shape
    scores = np.arange(36.0)
    scores[12:24] = np.arange(12.0)[::-1]
    gone = closed_removal(shape, "channel", scores, (2, 2, 2))
    assert [(unit.layer, unit.index) for unit in gone] == [(0, 0), (0, 1), (1, 10), (1, 11), (2, 0), (2, 1)]


def test_the_least_heads_of_each_group_go(llama):
    shape = bind(llama).shape
    scores = np.array([5.0, 4.0, 0.0, 1.0] * 3)
    gone = closed_removal(shape, "head", scores, (2, 2, 2))
    assert [unit.index for unit in gone] == [1, 2] * 3


def test_the_least_layers_go(llama):
    gone = closed_removal(bind(llama).shape, "layer", np.array([2.0, 0.5, 1.0]), (2,))
    assert [unit.layer for unit in gone] == [1, 2]


@pytest.mark.parametrize("component", ["matrix", "group", "head"])
def test_matrices_choose_alone_and_the_model_is_as_small_as_by_closed_units(llama, component):
    shape = bind(llama).shape
    choice = choices("llama", shape, component, (0.5,))[0]
    draw = np.random.default_rng(0)
    sizes = {"q": 4, "k": 2, "gate": 12, "up": 12, "down": 12}
    scores = [{role: draw.random(size) for role, size in sizes.items()} for _ in range(3)]
    plan = apart_removal("llama", shape, component, scores, choice.counts, gated=True)
    kept = plan.layers[0].kept
    if component == "matrix":
        assert kept["gate"] == tuple(np.sort(np.argsort(-scores[0]["gate"])[:6]))
        assert len({kept["gate"], kept["up"], kept["down"]}) == 3
        assert kept["q"] == (0, 1, 2, 3)
    else:
        assert kept["q"] == kept["o"] == tuple(np.sort(np.argsort(-scores[0]["q"])[:2]))
        assert len(kept["k"]) == (1 if component == "group" else 2)
    left = block_parameters("llama", bind(cut_apart(llama, plan)).shape)
    assert 1 - left / block_parameters("llama", shape) == pytest.approx(choice.parameters)
