"""Equal widths: the same number of units in every layer, channels before groups, within the target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from even_shapes import even_shape
from secateur.core.errors import PlanError
from secateur.scoring.equal_widths import equal_widths
from secateur.scoring.scores import Scores
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan

SHAPE = even_shape(3, hidden=16, head_dim=4, channels=40, other=100)
IDENTITY = PruningPlan.identity("llama", SHAPE)
DRAW = np.random.default_rng(0)
SCORES = Scores(
    groups=tuple(DRAW.random(4) for _ in range(3)),
    channels=tuple(DRAW.random(40) for _ in range(3)),
    comparable=True,
)
WHOLE = parameters(IDENTITY)
CHANNEL = 3 * 3 * 16


def widths(plan: PruningPlan) -> set[tuple[int, int]]:
    return {(len(layer.groups), len(layer.channels)) for layer in plan.layers}


def test_channels_go_first_and_the_best_stay():
    plan = equal_widths(SCORES, IDENTITY, WHOLE - 10 * CHANNEL, multiple=1)
    assert widths(plan) == {(4, 30)}
    for layer, scores in zip(plan.layers, SCORES.channels, strict=True):
        assert set(layer.channels) == set(np.argsort(scores)[10:].tolist())


def test_channels_are_rounded_down_to_the_multiple():
    assert widths(equal_widths(SCORES, IDENTITY, WHOLE - 10 * CHANNEL, multiple=8)) == {(4, 24)}


def test_groups_go_where_hardly_any_channels_would_be_left():
    four = WHOLE - 36 * CHANNEL
    assert widths(equal_widths(SCORES, IDENTITY, four - CHANNEL, multiple=1)) != {(4, 4)}
    ((groups, channels),) = widths(equal_widths(SCORES, IDENTITY, four - CHANNEL, multiple=1))
    assert groups == 3
    assert channels >= 5


@given(st.integers(min_value=0, max_value=WHOLE))
def test_the_target_is_kept_with_equal_layers(target):
    try:
        plan = equal_widths(SCORES, IDENTITY, target)
    except PlanError as error:
        smallest = int(str(error).split("at least ")[1].split(" ")[0].replace(",", ""))
        assert target < smallest
        assert parameters(equal_widths(SCORES, IDENTITY, smallest)) == smallest
    else:
        assert parameters(plan) <= target
        assert len(widths(plan)) == 1


def test_every_expert_keeps_its_best_channels_and_equally_many():
    shape = replace(SHAPE, channels_per_expert=((20, 20),) * 3)
    identity = PruningPlan.identity("mixtral", shape)
    router = 3 * 2 * 16
    plan = equal_widths(SCORES, identity, WHOLE + router - 9 * CHANNEL, multiple=1)
    assert plan.result.channels_per_expert == ((15, 15),) * 3
    for layer, scores in zip(plan.layers, SCORES.channels, strict=True):
        best = {*np.argsort(scores[:20])[5:].tolist(), *(20 + np.argsort(scores[20:])[5:]).tolist()}
        assert set(layer.channels) == best
    told_nothing = equal_widths(SCORES, identity, WHOLE + router - 9 * CHANNEL)
    assert told_nothing.result.channels_per_expert == ((8, 8),) * 3
    with pytest.raises(PlanError, match="--uniform"):
        equal_widths(SCORES, identity.with_channels(0, range(1, 40)), 100)


def test_a_target_that_is_met_changes_nothing():
    assert equal_widths(SCORES, IDENTITY, WHOLE) == IDENTITY


def test_unequal_layers_are_refused():
    with pytest.raises(PlanError, match="--uniform"):
        equal_widths(SCORES, IDENTITY.with_channels(0, [1, 2]), 100)
