"""Targets with limits: predictions worked out by hand, and what cannot be reached."""

from __future__ import annotations

from dataclasses import replace

import pytest

from even_shapes import even_shape, even_table, whole
from secateur.core.errors import ConfigError, PlanError
from secateur.structure.budget import Budget
from secateur.structure.counting import parameters
from secateur.structure.latency import LatencyLimit
from secateur.structure.memory import (
    LAYER_MIB,
    LOAD_FACTORS,
    MIB,
    MemoryLimit,
    parameters_within,
    widest_layer,
)
from secateur.structure.target import Target, predicted

SHAPE = even_shape(4)
IDENTITY = whole("gpt2", 4)


def latency(most: float) -> LatencyLimit:
    return LatencyLimit(most=most, table=even_table())


def test_latency_by_hand():
    # front end 1.5, outside 0.5, two layers of 2.0
    two = IDENTITY.without_layers((0, 1))
    assert latency(9).cost("gpt2", two.result) == pytest.approx(6.0)
    assert latency(6.0).cost("gpt2", IDENTITY.result) == pytest.approx(10.0)
    target = Target(parameters=10**9, limits=(latency(6.0),))
    assert target.met_by(two)
    assert target.spent_by(two)
    assert not target.met_by(IDENTITY)
    assert not Target(parameters=10**9, limits=(latency(6.1),)).spent_by(two)
    assert target.excesses(IDENTITY) == ["a latency of 10 of at most 6 ms"]
    assert predicted(target.limits, two)["latency"]["predicted"] == pytest.approx(6.0)


def test_memory_by_hand():
    limit = MemoryLimit(most=100, tokens=16, runtime_mib=50.0)
    weights = LOAD_FACTORS["fp32"] * 4 * parameters(IDENTITY)
    # two streams of 32; queries, keys and values of 4 heads of 8 and their scores are more than 64 channels
    alive = 2 * 32 + 3 * 4 * 8 + 4 * 16
    assert widest_layer("gpt2", SHAPE, 16) == alive
    assert limit.cost("gpt2", SHAPE) == pytest.approx(50 + 4 * LAYER_MIB + (weights + 4 * 16 * alive) / MIB)
    wide = replace(SHAPE, channels_per_layer=(64, 64, 500, 64))
    assert widest_layer("gpt2", wide, 16) == 2 * 32 + 500
    assert widest_layer("llama", wide, 16) == 2 * 32 + 2 * 500
    eighth = MemoryLimit(most=100, tokens=16, runtime_mib=50.0, precision="int8")
    assert eighth.cost("gpt2", SHAPE) < limit.cost("gpt2", SHAPE)


def test_every_limit_must_hold():
    two = IDENTITY.without_layers((0, 1))
    memory = MemoryLimit(most=49.0, tokens=16, runtime_mib=50.0)
    assert not Target(parameters=10**9, limits=(latency(6.0), memory)).met_by(two)
    assert not Target(parameters=parameters(two) - 1, limits=(latency(6.0),)).met_by(two)
    assert Target(parameters=parameters(two), limits=(latency(6.0),)).met_by(two)
    broken = Target(parameters=1, limits=(latency(1.0), memory)).excesses(two)
    assert [said.split()[1] for said in broken] == ["parameters", "latency", "memory"]


def test_a_budget_of_limits_alone_leaves_the_parameters_free():
    target = Budget(limits=(latency(6.0),)).target("gpt2", SHAPE)
    assert target.parameters == parameters(IDENTITY)
    both = Budget(ratio=2.0, limits=(latency(6.0),)).target("gpt2", SHAPE)
    assert both.parameters == parameters(IDENTITY) // 2


def test_an_unreachable_limit_names_the_least_that_is_not():
    # front end, outside, and a layer of one head and at most 8 channels: 1.5 + 0.5 + 1.4 + 1.2 - 2.0
    with pytest.raises(PlanError, match=r"latency of 2\.5 ms.*predicted to take 2\.6 ms"):
        Budget(limits=(latency(2.5),)).target("gpt2", SHAPE)
    assert Budget(limits=(latency(2.61),)).target("gpt2", SHAPE)
    with pytest.raises(PlanError, match="memory of 10 MiB"):
        Budget(limits=(MemoryLimit(most=10, tokens=16),)).target("gpt2", SHAPE)


@pytest.mark.parametrize(
    ("family", "shape", "said"),
    [
        ("llama", SHAPE, "of gpt2 backbones of width 32, the model is llama of width 32"),
        ("gpt2", replace(SHAPE, hidden=64), "the model is gpt2 of width 64"),
        ("gpt2", replace(SHAPE, channels_per_layer=(65,) * 4), "ends at 4 heads and 64 channels"),
    ],
)
def test_a_table_of_other_models_is_refused(family, shape, said):
    with pytest.raises(PlanError, match=said):
        Budget(limits=(latency(6.0),)).target(family, shape)


@pytest.mark.parametrize("most", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_numbers_are_refused(most):
    with pytest.raises(PlanError):
        latency(most)
    with pytest.raises((ConfigError, PlanError), match=r"memory of|most is nan"):
        MemoryLimit(most=most, tokens=16)
    with pytest.raises(PlanError):
        parameters_within(most, "fp32")


def test_weights_alone():
    assert parameters_within(1.0, "fp32") == 2**20 // 4
    assert parameters_within(1.0, "int4") == 2**21
    with pytest.raises(PlanError, match="allowed: fp32, fp16, bf16, int8, int4"):
        parameters_within(1.0, "fp8")
    with pytest.raises(ConfigError, match="unknown precision 'bf16'; allowed: fp32, int8"):
        MemoryLimit(most=100, tokens=16, precision="bf16")
