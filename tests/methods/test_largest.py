"""Limits translated into parameters: the largest plan that holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from even_shapes import even_table, whole
from secateur.core.errors import PlanError
from secateur.methods.depth import candidate_starts
from secateur.methods.largest import largest_plan, narrowest
from secateur.scoring.allocation import allocate
from secateur.scoring.scores import Scores
from secateur.structure.counting import parameters
from secateur.structure.latency import LatencyLimit
from secateur.structure.memory import MemoryLimit
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Target

N_LAYERS = 6
IDENTITY = whole("gpt2", N_LAYERS)
# a layer costs 1 ms whatever its width, and up to 0.4 ms more for its heads and 0.8 ms for its channels
TABLE = even_table(channels=(1, 64), heads_ms=((1.8, 2.2),), channels_ms=((1.4, 2.2),))


def target(most_ms: float, **others) -> Target:
    limits = (LatencyLimit(most=most_ms, table=TABLE),)
    return Target(**{"parameters": parameters(IDENTITY), "limits": limits} | others)


def scores(seed: int) -> Scores:
    rng = np.random.default_rng(seed)
    return Scores(
        groups=tuple(rng.lognormal(0, 1, 4) for _ in range(N_LAYERS)),
        channels=tuple(rng.lognormal(-2, 1, 64) for _ in range(N_LAYERS)),
        comparable=True,
    )


def planner(seed: int, start: PruningPlan):
    own = scores(seed)
    return lambda limit: allocate(own, start, limit, multiple=1)


@pytest.mark.parametrize(("seed", "most_ms"), [(0, 8.5), (1, 10.0), (2, 13.0)])
def test_it_is_the_largest_of_all_plans_on_the_path(seed, most_ms):
    plan_for, goal = planner(seed, IDENTITY), target(most_ms)
    found = largest_plan(plan_for, IDENTITY, goal)
    assert goal.met_by(found)
    least, most = parameters(narrowest(IDENTITY)), parameters(IDENTITY)
    best = max(parameters(plan) for plan in map(plan_for, range(least, most, 300)) if goal.met_by(plan))
    assert parameters(found) >= best - 5 * (2 * 32 + 1)


def test_without_limits_it_is_the_plan_of_the_parameters():
    plan_for = planner(0, IDENTITY)
    assert largest_plan(plan_for, IDENTITY, Target(parameters=30_000)) == plan_for(30_000)


def test_the_tighter_of_parameters_and_latency_decides():
    plan_for = planner(1, IDENTITY)
    by_latency = largest_plan(plan_for, IDENTITY, target(9.0))
    few = parameters(by_latency) - 2_000
    both = largest_plan(plan_for, IDENTITY, target(9.0, parameters=few))
    assert both == plan_for(few)
    memory = MemoryLimit(most=70.97, tokens=16, runtime_mib=70.0)
    held = replace(target(9.0), limits=(*target(9.0).limits, memory))
    found = largest_plan(plan_for, IDENTITY, held)
    assert held.met_by(found)
    assert parameters(found) < parameters(by_latency)


def test_at_one_latency_few_layers_are_wide_and_many_are_thin():
    goal = target(8.4)
    order = (5, 4, 3, 2, 1)
    starts = candidate_starts(IDENTITY, order, goal, limit=10)
    # three whole layers take 1.5 + 0.5 + 3 * 2.2 = 8.6 ms; six of one head and one channel 2 + 6 * 1.0 = 8 ms
    assert [len(start.layers) for start in starts] == [3, 4, 5, 6]
    plans = []
    for start in starts:
        whole = PruningPlan.identity(start.family, start.result)
        own = scores(0)
        own = replace(own, groups=own.groups[: len(whole.layers)], channels=own.channels[: len(whole.layers)])
        plans.append(
            largest_plan(lambda limit, own=own, whole=whole: allocate(own, whole, limit), whole, goal)
        )
    sizes = [parameters(plan) for plan in plans]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[-1]
    # a tighter latency rules deep models out altogether
    shallow = candidate_starts(IDENTITY, order, target(6.4), limit=10)
    assert [len(start.layers) for start in shallow] == [2, 3, 4]


def test_a_kind_that_alone_does_not_suffice_says_so():
    goal = target(8.5)
    with pytest.raises(
        PlanError,
        match=r"with 6 layers, cutting channels only, at least a latency of .* of at most 8.5 ms stay",
    ):
        largest_plan(planner(0, IDENTITY), IDENTITY, goal, kinds=("channel",))
