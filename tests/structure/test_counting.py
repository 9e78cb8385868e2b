"""Counting against figures worked out by hand; tests of surgery hold it against live models."""

from __future__ import annotations

import pytest

from secateur.core.errors import ConfigError, PlanError
from secateur.structure.budget import Budget, smallest_parameters
from secateur.structure.counting import (
    channel_parameters,
    flops_per_token,
    group_parameters,
    layer_parameters,
    parameters,
)
from secateur.structure.plan import PruningPlan
from secateur.structure.shape import ModelShape

GPT2_SMALL = ModelShape(
    n_layers=12,
    hidden=768,
    head_dim=64,
    heads_per_layer=(12,) * 12,
    kv_groups_per_layer=(12,) * 12,
    channels_per_layer=(3072,) * 12,
    other_parameters=50257 * 768 + 1024 * 768 + 2 * 768,
    biased_roles=("q", "k", "v", "o", "up", "down"),
)
SMOLLM2_135M = ModelShape(
    n_layers=30,
    hidden=576,
    head_dim=64,
    heads_per_layer=(9,) * 30,
    kv_groups_per_layer=(3,) * 30,
    channels_per_layer=(1536,) * 30,
    other_parameters=49152 * 576 + 576,
)
CASES = [("gpt2", GPT2_SMALL), ("llama", SMOLLM2_135M)]


def test_published_totals():
    assert parameters(PruningPlan.identity("gpt2", GPT2_SMALL)) == 124_439_808
    assert parameters(PruningPlan.identity("llama", SMOLLM2_135M)) == 134_515_008


@pytest.mark.parametrize(("family", "shape"), CASES)
def test_removing_a_unit_removes_its_parameters(family, shape):
    dense = PruningPlan.identity(family, shape)
    total = parameters(dense)
    layer = layer_parameters(family, shape, 2)
    group = group_parameters(family, shape, 2)
    channel = channel_parameters(family, shape)
    assert total - parameters(dense.without_layers([2])) == layer
    assert total - parameters(dense.with_groups(2, range(1, shape.kv_groups_per_layer[2]))) == group
    assert total - parameters(dense.with_channels(2, range(5, shape.channels_per_layer[2]))) == 5 * channel


def test_units_by_hand():
    assert group_parameters("gpt2", GPT2_SMALL, 0) == 4 * 64 * 768 + 3 * 64
    assert channel_parameters("gpt2", GPT2_SMALL) == 2 * 768 + 1
    assert group_parameters("llama", SMOLLM2_135M, 0) == (2 * 3 + 2) * 64 * 576
    assert channel_parameters("llama", SMOLLM2_135M) == 3 * 576


def test_flops_by_hand():
    weights = 12 * (4 * 768 * 768 + 2 * 768 * 3072)
    attention = 12 * 2 * 768 * 100
    plan = PruningPlan.identity("gpt2", GPT2_SMALL)
    assert flops_per_token(plan, context_tokens=100) == 2 * (weights + attention)
    assert flops_per_token(plan.without_layers(range(6)), context_tokens=100) == weights + attention


def test_budget_targets():
    assert Budget(ratio=4).target_parameters(1003) == 250
    assert Budget(max_parameters=300).target_parameters(1003) == 300
    assert Budget(max_parameters=3000).target_parameters(1003) == 1003


@pytest.mark.parametrize(("family", "shape"), CASES)
def test_largest_ratio_named_is_reachable_and_more_is_not(family, shape):
    smallest = smallest_parameters(family, shape)
    plan = PruningPlan.identity(family, shape).without_layers(range(1, shape.n_layers))
    assert smallest == parameters(plan.with_groups(0, [0]).with_channels(0, [0]))
    with pytest.raises(PlanError, match="largest ratio that can be reached is") as refusal:
        Budget(ratio=1e6).reachable_target(family, shape)
    named = float(str(refusal.value).split("reached is ")[1].split(";")[0])
    assert Budget(ratio=named).reachable_target(family, shape) >= smallest
    with pytest.raises(PlanError):
        Budget(ratio=named + 0.02).reachable_target(family, shape)


def test_floor_on_channels_makes_the_smallest_larger():
    more = smallest_parameters("llama", SMOLLM2_135M, channels_floor=8)
    assert more - smallest_parameters("llama", SMOLLM2_135M) == 7 * 3 * 576
    with pytest.raises(PlanError, match="8 FFN channel"):
        Budget(max_parameters=1000).reachable_target("llama", SMOLLM2_135M, channels_floor=8)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ratio": 2.0, "max_parameters": 5},
        {"ratio": 0.9},
        {"ratio": float("nan")},
        {"ratio": float("inf")},
        {"max_parameters": 0},
    ],
)
def test_impossible_budgets_are_refused(fields):
    with pytest.raises((ConfigError, PlanError), match=r"ratio|number of parameters|max_parameters"):
        Budget(**fields)
