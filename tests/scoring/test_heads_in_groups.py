"""Groups and the heads inside them in one order of leaving, against least squares worked out directly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from even_shapes import even_shape
from secateur.scoring import elimination
from secateur.scoring.allocation import rank_cut
from secateur.scoring.elimination import Staying, elimination_costs
from secateur.scoring.heads_in_groups import nested_costs
from secateur.scoring.scores import Scores
from secateur.structure.counting import group_parameters, head_parameters, parameters
from secateur.structure.plan import PruningPlan

GROUPS, SHARING, WIDTH = 3, 3, 2
HEADS = GROUPS * SHARING
SHAPE = even_shape(1, hidden=18, head_dim=WIDTH, heads=HEADS, groups=GROUPS, channels=4, other=0)
OF_GROUP, OF_HEAD = group_parameters("llama", SHAPE, 0), head_parameters("llama", SHAPE, 0)


@pytest.fixture(autouse=True)
def _exact(monkeypatch):
    monkeypatch.setattr(elimination, "DAMPING", 0.0)


def problem(seed: int):
    draw = torch.Generator().manual_seed(seed)
    mix = torch.randn(HEADS * WIDTH, HEADS * WIDTH, generator=draw, dtype=torch.float64)
    z = torch.randn(300, HEADS * WIDTH, generator=draw, dtype=torch.float64) @ mix
    weight = torch.randn(5, HEADS * WIDTH, generator=draw, dtype=torch.float64)
    return z.T @ z / 300, torch.eye(5, dtype=torch.float64), weight


def joint_cost(covariance, weight, kept: set[int]) -> float:
    """What is lost of the output when the heads that stay stand in for the others as well as they can."""
    columns = [head * WIDTH + j for head in sorted(kept) for j in range(WIDTH)]
    gone = [j for j in range(HEADS * WIDTH) if j not in columns]
    inside = covariance[columns][:, columns]
    residual = covariance[gone][:, gone] - covariance[gone][:, columns] @ torch.linalg.solve(
        inside, covariance[columns][:, gone]
    )
    return float((weight[:, gone] @ residual * weight[:, gone]).sum() / 2)


def scored(seed: int, *, whole_groups: bool = True) -> tuple[np.ndarray, np.ndarray]:
    groups, heads = nested_costs(
        Staying.all_of(*problem(seed), HEADS),
        GROUPS,
        group_parameters=OF_GROUP,
        head_parameters=OF_HEAD,
        whole_groups=whole_groups,
    )
    return groups.numpy(), heads.numpy()


@pytest.mark.parametrize("seed", range(12))
def test_the_ranking_pays_for_each_move_what_it_really_costs(seed):
    covariance, _, weight = problem(seed)
    groups, heads = scored(seed)
    scores = Scores(groups=(groups,), heads=(heads,), channels=(np.full(4, 1e9),), comparable=True)
    start = PruningPlan.identity("llama", SHAPE)
    kept, left, density, steps = set(range(HEADS)), parameters(start), 0.0, 0
    while left > parameters(start) - (GROUPS - 1) * OF_GROUP - (SHARING - 1) * OF_HEAD:
        plan = rank_cut(scores, start, left - 1, kinds=("group", "head"))
        layer = plan.layers[0]
        now = {
            group * SHARING + head
            for position, group in enumerate(layer.groups)
            for head in layer.heads_of(position, SHARING)
        }
        added = joint_cost(covariance, weight, now) - joint_cost(covariance, weight, kept)
        density = max(density, added / (left - parameters(plan)))
        for group in {head // SHARING for head in kept} - set(layer.groups):
            assert groups[group] / OF_GROUP == pytest.approx(density)
        if len(layer.groups) == len({head // SHARING for head in kept}):
            for head in kept - now:
                assert heads[head] / OF_HEAD == pytest.approx(density)
        kept, left, steps = now, parameters(plan), steps + 1
    assert steps == GROUPS - 1 + SHARING - 1
    assert len(kept) == 1


def test_heads_that_stand_in_for_a_group_are_dear_once_it_has_left():
    # heads 0..2 (group 0) send what heads 3..5 (group 1) send; each alone is free, both together are not
    z = torch.randn(400, HEADS * WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z[:, 3 * WIDTH : 6 * WIDTH] = z[:, : 3 * WIDTH] + 1e-4 * z[:, 3 * WIDTH : 6 * WIDTH]
    covariance = z.T @ z / 400
    ones = torch.ones(1, HEADS * WIDTH, dtype=torch.float64)
    identity = torch.eye(1, dtype=torch.float64)
    apart = elimination_costs(covariance, identity, ones, HEADS)
    groups, heads = nested_costs(
        Staying.all_of(covariance, identity, ones, HEADS),
        GROUPS,
        group_parameters=OF_GROUP,
        head_parameters=OF_HEAD,
        whole_groups=True,
    )
    twin = int(groups.argmin())
    assert twin in (0, 1)
    assert groups[twin] < 1e-3
    other = slice(3 * (1 - twin), 3 * (1 - twin) + 3)
    assert (heads[other] / OF_HEAD > 0.1 / OF_HEAD).all()
    assert apart[: 2 * SHARING].sort().values[:3].max() < 1e-3, "weighed apart, three of these six look free"


def test_where_groups_stay_heads_alone_leave():
    groups, heads = scored(0, whole_groups=False)
    assert len(set(np.round(heads / heads.max(), 6))) == SHARING - 1
    assert (groups / OF_GROUP >= heads.max() / OF_HEAD * (1 - 1e-6)).all()
    by_group = np.sort(heads.reshape(GROUPS, SHARING), axis=1)
    assert np.allclose(by_group, by_group[0])
