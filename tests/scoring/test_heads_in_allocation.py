"""Query heads in the one ranking: they leave every group of a layer together, at their exact cost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from even_shapes import even_shape
from secateur.scoring.allocation import rank_cut
from secateur.scoring.remaining import Remaining
from secateur.scoring.scores import SCORED_KINDS, Scores
from secateur.structure.counting import head_parameters, parameters
from secateur.structure.plan import PruningPlan

GROUPED = even_shape(
    3, hidden=24, head_dim=4, heads=12, groups=3, channels=40, other=500, biased_roles=("q", "k", "v")
)
CROSSING = even_shape(
    4,
    hidden=24,
    head_dim=4,
    heads=6,
    groups=6,
    channels=30,
    other=500,
    stack_sizes=(2, 2),
    cross_heads_per_layer=(0, 0, 6, 6),
    cross_groups_per_layer=(0, 0, 6, 6),
    biased_roles=("q", "v", "o", "cross_q", "cross_v", "cross_o", "up", "down"),
)
CASES = [("llama", GROUPED), ("whisper", CROSSING)]


def scores(shape, seed, *, comparable=True):
    draw = np.random.default_rng(seed)

    def drawn(counts):
        return tuple(draw.random(count) for count in counts)

    return Scores(
        groups=drawn(shape.kv_groups_per_layer),
        heads=drawn(shape.heads_per_layer),
        cross_groups=drawn(shape.cross_groups_per_layer),
        channels=drawn(shape.channels_per_layer),
        comparable=comparable,
    )


@pytest.mark.parametrize(("family", "shape"), CASES)
@given(
    seed=st.integers(0, 1000),
    steps=st.lists(
        st.tuples(st.sampled_from(SCORED_KINDS), st.integers(0, 3), st.integers(0, 39)), max_size=60
    ),
)
def test_the_running_count_is_exact(family, shape, seed, steps):
    remaining = Remaining(PruningPlan.identity(family, shape), scores(shape, seed))
    for kind, layer, index in steps:
        layer %= shape.n_layers
        members = {
            "group": shape.kv_groups_per_layer,
            "head": shape.heads_per_layer,
            "cross_group": shape.cross_groups_per_layer,
            "channel": shape.channels_per_layer,
        }[kind][layer]
        kept = remaining.plan().layers[layer]
        present = {"group": kept.groups, "cross_group": kept.cross_groups, "channel": kept.channels}
        if members and (kind == "head" or index % members in present[kind]):
            remaining.remove(kind, layer, index % members)
    assert remaining.total == parameters(remaining.plan())


@pytest.mark.parametrize(("family", "shape"), CASES)
@given(seed=st.integers(0, 1000), share=st.floats(0.35, 1.0), comparable=st.booleans())
def test_the_target_is_met_with_every_kind(family, shape, seed, share, comparable):
    start = PruningPlan.identity(family, shape)
    target = int(share * parameters(start))
    plan = rank_cut(scores(shape, seed, comparable=comparable), start, target, kinds=SCORED_KINDS)
    assert parameters(plan) <= target
    tighter = rank_cut(
        scores(shape, seed, comparable=comparable), start, int(0.9 * target), kinds=SCORED_KINDS
    )
    for own, less in zip(plan.layers, tighter.layers, strict=True):
        assert set(less.groups) <= set(own.groups)
        assert set(less.channels) <= set(own.channels)
        sharing = shape.heads_per_group(own.index)
        for position, group in enumerate(less.groups):
            of_own = own.heads_of(own.groups.index(group), sharing)
            assert set(less.heads_of(position, sharing)) <= set(of_own)


def test_the_least_important_head_of_each_group_goes_first():
    start = PruningPlan.identity("llama", GROUPED)
    drawn = scores(GROUPED, 3)
    only_heads = Scores(
        groups=tuple(np.full(3, 1e9) for _ in range(3)),
        channels=tuple(np.full(40, 1e9) for _ in range(3)),
        heads=drawn.heads,
        cross_groups=(),
        comparable=True,
    )
    cost = 3 * head_parameters("llama", GROUPED, 0)
    plan = rank_cut(only_heads, start, parameters(start) - 1, kinds=("group", "head", "channel"))
    assert parameters(plan) == parameters(start) - cost
    sums = [drawn.heads[layer].reshape(3, 4).min(axis=1).sum() for layer in range(3)]
    (cut,) = [layer for layer in plan.layers if layer.heads]
    assert cut.index == int(np.argmin(sums))
    worst = drawn.heads[cut.index].reshape(3, 4).argmin(axis=1)
    assert cut.heads == tuple(tuple(h for h in range(4) if h != lost) for lost in worst)
