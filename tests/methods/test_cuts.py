"""Plans of one stage: equal shares where layers leave later, one ranking where none does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from even_shapes import whole
from secateur.core.errors import PlanError
from secateur.methods.cuts import KIND_OF, equal_share_cut, width_cut
from secateur.methods.largest import narrowest
from secateur.scoring.allocation import allocate
from secateur.scoring.scores import Scores
from secateur.structure.counting import channel_parameters, group_parameters, layer_parameters, parameters
from secateur.structure.plan import PruningPlan
from secateur.structure.shape import ModelShape
from secateur.structure.target import Target
from secateur.workflow.order_settings import ORDERS

OTHER = 10_000


def identity_of(family: str = "llama", n_layers: int = 6) -> PruningPlan:
    return whole(family, n_layers, heads=8 if family == "llama" else 4, other=OTHER)


def random_scores(shape: ModelShape, rng: np.random.Generator) -> Scores:
    """Skewed scores that differ between layers a hundredfold."""
    levels = 10 ** rng.uniform(-1, 1, shape.n_layers)
    groups = tuple(
        level * rng.lognormal(0, 1, count)
        for level, count in zip(levels, shape.kv_groups_per_layer, strict=True)
    )
    channels = tuple(
        level * rng.lognormal(-2, 1, count)
        for level, count in zip(levels, shape.channels_per_layer, strict=True)
    )
    return Scores(comparable=True, groups=groups, channels=channels)


def run_order(order, identity: PruningPlan, target: int, depth: int, rng) -> list[PruningPlan]:
    """Carry out the stages of one order; scores are drawn anew in each, as if the model had changed."""
    plans = []
    now = identity
    for number, stage in enumerate(order):
        start = PruningPlan.identity(now.family, now.result)
        excess = len(start.layers) - depth
        if stage == "layers":
            relative = start.without_layers(rng.permutation(len(start.layers))[:excess].tolist())
        else:
            kinds = tuple(KIND_OF[name] for name in order[number:] if name != "layers")
            options = {"kind": KIND_OF[stage], "kinds": kinds, "multiple": None}
            scores = random_scores(start.shape, rng)
            if excess:
                relative = equal_share_cut(scores, start, target, depth=depth, **options)
            else:
                relative = width_cut(scores, start, Target(parameters=target), **options)
        now = now.then(relative)
        plans.append(now)
    return plans


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    order=st.sampled_from(list(ORDERS.values())),
    family=st.sampled_from(["llama", "gpt2"]),
    depth=st.integers(1, 6),
    fullness=st.floats(0, 1),
)
def test_every_order_comes_to_the_asked_size_whichever_layers_go(seed, order, family, depth, fullness):
    identity = identity_of(family)
    shallow = identity.without_layers(range(6 - depth))
    least, most = parameters(narrowest(shallow)), parameters(shallow)
    target = least + int(fullness * (most - least))
    final = run_order(order, identity, target, depth, np.random.default_rng(seed))[-1]
    assert len(final.layers) == depth
    channel = channel_parameters(family, identity.shape)
    unspent = target - parameters(final)
    assert unspent >= 0
    # whole groups in each layer that was cut to a share, else in one; channels in steps of 16 at most
    group = group_parameters(family, identity.shape, 0)
    shares = group if order[0] == "layers" else depth * (group + channel)
    assert unspent <= shares + 16 * channel


@pytest.mark.parametrize("order", [order for order in ORDERS.values() if order[-1] == "layers"])
def test_layers_have_equal_shares_before_any_leaves(order):
    identity, target, depth = identity_of(), 24_000, 3
    _, widths, _ = run_order(order, identity, target, depth, np.random.default_rng(1))
    share = (target - OTHER) // depth
    sizes = [layer_parameters("llama", widths.result, layer) for layer in range(6)]
    channel = channel_parameters("llama", identity.shape)
    assert all(share - channel < size <= share for size in sizes)


def test_a_share_goes_to_the_kind_that_matters_in_the_layer():
    identity = identity_of(n_layers=2)
    group_cost, channel_cost = (
        group_parameters("llama", identity.shape, 0),
        channel_parameters("llama", identity.shape),
    )
    dear, cheap = np.full(4, 10.0 * group_cost), np.full(4, 0.1 * group_cost)
    scores = Scores(comparable=True, groups=(dear, cheap), channels=(np.full(64, channel_cost),) * 2)
    whole = layer_parameters("llama", identity.shape, 0)
    target = OTHER + whole - 3 * group_cost
    plan = equal_share_cut(
        scores, identity, target, depth=1, kind="group", kinds=("group", "channel"), multiple=None
    )
    assert [len(layer.groups) for layer in plan.layers] == [4, 1]
    assert [len(layer.channels) for layer in plan.layers] == [64, 64]


def test_a_layer_that_cannot_come_down_to_its_share_is_named():
    identity = identity_of()
    scores = random_scores(identity.shape, np.random.default_rng(0))
    with pytest.raises(PlanError, match=r"2 of 6 layers are to stay.*each may have 3,000.*groups.*layer 0"):
        equal_share_cut(
            scores, identity, OTHER + 6_000, depth=2, kind="group", kinds=("group",), multiple=None
        )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_later_layers_a_stage_is_its_part_of_one_ranking(seed):
    identity = identity_of()
    scores = random_scores(identity.shape, np.random.default_rng(seed))
    whole = allocate(scores, identity, 30_000, multiple=None, kinds=("group", "channel"))
    plan = width_cut(
        scores, identity, Target(parameters=30_000), kind="group", kinds=("group", "channel"), multiple=None
    )
    assert [layer.groups for layer in plan.layers] == [layer.groups for layer in whole.layers]
    assert [layer.channels for layer in plan.layers] == [layer.channels for layer in identity.layers]
