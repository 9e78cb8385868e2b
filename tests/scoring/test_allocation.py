"""Budgets are met from below, nested, and on the widths asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from even_shapes import whole
from secateur.core.errors import PlanError
from secateur.scoring.allocation import allocate, keep_best, rank_cut
from secateur.scoring.rounding import multiples_to_try
from secateur.scoring.scores import Scores
from secateur.structure.counting import channel_parameters, group_parameters, parameters


def dense(family="llama", n_layers=3, channels=256):
    biased = ("q", "k", "v", "o", "up", "down") if family == "gpt2" else ()
    return whole(
        family,
        n_layers,
        hidden=64,
        head_dim=16,
        groups=4 if family == "gpt2" else 2,
        channels=channels,
        other=5000,
        biased_roles=biased,
    )


def scores_for(plan, seed=0, comparable=True, scale=1.0):
    rng = np.random.default_rng(seed)
    shape = plan.shape
    return Scores(
        groups=tuple(rng.exponential(60 * scale, n) for n in shape.kv_groups_per_layer),
        channels=tuple(rng.exponential(1.0, n) for n in shape.channels_per_layer),
        comparable=comparable,
    )


def smallest(plan):
    for layer in plan.layers:
        plan = plan.with_groups(layer.index, (0,)).with_channels(layer.index, (0,))
    return parameters(plan)


@given(
    share=st.floats(0.0, 1.0),
    seed=st.integers(0, 50),
    family=st.sampled_from(["gpt2", "llama"]),
    multiple=st.sampled_from([None, 1, 8, 16, 32, 64]),
    comparable=st.booleans(),
)
@settings(max_examples=60)
def test_the_target_is_met_from_below_and_nearly(share, seed, family, multiple, comparable):
    plan = dense(family)
    scores = scores_for(plan, seed, comparable)
    target = int(smallest(plan) + share * (parameters(plan) - smallest(plan)))
    cut = allocate(scores, plan, target, multiple=multiple)
    found = parameters(cut)
    assert found <= target
    widths = [len(layer.channels) for layer in cut.layers]
    if any(width < 256 for width in widths):
        steps = [step for step in (64, 32, 16, 8, 1) if all(w % step == 0 for w in widths)]
        assert target - found < steps[0] * channel_parameters(family, plan.shape)
    else:
        assert target - found < group_parameters(family, plan.shape, 0)


@given(seed=st.integers(0, 50), shares=st.tuples(st.floats(0, 1), st.floats(0, 1)), comparable=st.booleans())
@settings(max_examples=40)
def test_a_smaller_budget_keeps_a_subset(seed, shares, comparable):
    plan = dense()
    scores = scores_for(plan, seed, comparable)
    low, high = sorted(int(smallest(plan) + share * (parameters(plan) - smallest(plan))) for share in shares)
    small, large = (rank_cut(scores, plan, target) for target in (low, high))
    for few, many in zip(small.layers, large.layers, strict=True):
        assert set(few.groups) <= set(many.groups)
        assert set(few.channels) <= set(many.channels)


@pytest.mark.parametrize("multiple", [8, 16, 32, 64])
def test_widths_are_multiples_where_the_budget_allows(multiple):
    plan = dense()
    cut = allocate(scores_for(plan), plan, int(parameters(plan) / 1.8), multiple=multiple)
    assert all(len(layer.channels) % multiple == 0 for layer in cut.layers)
    assert len({len(layer.channels) for layer in cut.layers}) > 1


def test_a_tight_budget_falls_back_to_smaller_multiples():
    plan = dense()
    target = smallest(plan) + 40 * channel_parameters("llama", plan.shape)
    cut = allocate(scores_for(plan), plan, target, multiple=64)
    widths = [len(layer.channels) for layer in cut.layers]
    assert parameters(cut) <= target
    assert all(width % 8 == 0 for width in widths)
    assert not all(width % 64 == 0 for width in widths)


def test_units_that_matter_less_per_parameter_go_first():
    plan = dense(n_layers=1, channels=4)
    cost_group = group_parameters("llama", plan.shape, 0)
    cost_channel = channel_parameters("llama", plan.shape)
    scores = Scores(
        groups=(np.array([1.0 * cost_group, 5.0 * cost_group]),),
        channels=(np.array([4.0, 0.5, 2.0, 3.0]) * cost_channel,),
        comparable=True,
    )
    kept = []
    for target in (
        parameters(plan) - 1,
        parameters(plan) - cost_channel - 1,
        parameters(plan) - cost_channel - cost_group - 1,
    ):
        layer = rank_cut(scores, plan, target).layers[0]
        kept.append((layer.groups, layer.channels))
    assert kept == [((0, 1), (0, 2, 3)), ((1,), (0, 2, 3)), ((1,), (0, 3))]


def test_incomparable_scores_cut_each_kind_in_its_own_scale():
    plan = dense()
    target = int(parameters(plan) / 1.6)
    cuts = [rank_cut(scores_for(plan, 3, comparable=False, scale=s), plan, target) for s in (1.0, 1e6)]
    assert cuts[0] == cuts[1]


def test_only_the_kinds_named_are_cut():
    plan = dense()
    groups_only = allocate(scores_for(plan), plan, parameters(plan) - 1, kinds=("group",))
    assert all(len(layer.channels) == 256 for layer in groups_only.layers)
    assert sum(len(layer.groups) for layer in groups_only.layers) == 5


def test_a_budget_that_holds_everything_changes_nothing():
    plan = dense()
    assert allocate(scores_for(plan), plan, parameters(plan)) is plan


def test_an_unreachable_target_says_what_can_be_reached():
    plan = dense()
    with pytest.raises(PlanError, match=f"{smallest(plan):,}"):
        allocate(scores_for(plan), plan, smallest(plan) - 1)


def test_keep_best_keeps_the_same_number_everywhere():
    plan = dense()
    scores = scores_for(plan)
    cut = keep_best(scores, plan, groups=1, channels=10)
    for layer in cut.layers:
        assert layer.groups == (int(np.argmax(scores.groups[layer.index])),)
        assert set(layer.channels) == set(np.argsort(scores.channels[layer.index])[-10:])
    with pytest.raises(PlanError, match="1 to 2"):
        keep_best(scores, plan, groups=3)


def test_automatic_multiples_stay_small_beside_the_width():
    assert multiples_to_try(1000.0, None)[0] == 64
    assert multiples_to_try(100.0, None) == (16, 8, 1)
    assert multiples_to_try(5.0, None) == (1,)
    assert multiples_to_try(5.0, 32) == (32, 16, 8, 1)
