"""Staleness: known answers, and units that keep their names through plans."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from secateur.core.errors import PlanError
from secateur.scoring.scores import Scores
from secateur.sia.staleness import Halves, layer_scores, staleness, width_scores
from secateur.structure.plan import PruningPlan
from secateur.structure.shape import ModelShape
from secateur.structure.units import Unit


def channels(values):
    return {Unit(kind="channel", layer=0, index=index): float(value) for index, value in enumerate(values)}


def halves(whole, first=None, second=None):
    first = whole if first is None else first
    return Halves(
        whole=channels(whole), first=channels(first), second=channels(first if second is None else second)
    )


def test_the_same_order_is_not_stale_and_the_reverse_is_stale_by_two():
    before = halves(range(20))
    same = staleness(before, halves(np.exp(np.arange(20))))
    assert same.value == pytest.approx(0)
    assert same.noise == pytest.approx(0)
    assert same.beyond_noise == pytest.approx(0)
    assert same.units == 20
    reverse = staleness(before, halves(-np.arange(20)))
    assert reverse.value == pytest.approx(2)
    assert reverse.interval == pytest.approx((2, 2))


def test_unrelated_orders_are_stale_by_one():
    random = np.random.default_rng(0)
    found = staleness(halves(random.normal(size=500)), halves(random.normal(size=500)))
    assert found.value == pytest.approx(1, abs=0.12)
    assert found.interval[0] < 1 < found.interval[1]


def test_only_units_that_survive_count():
    before = channels([9, 1, 2, 3, 4])
    after = {unit: score for unit, score in channels([0, 10, 20, 30, 40]).items() if unit.index != 0}
    found = staleness(
        Halves(whole=before, first=before, second=before), Halves(whole=after, first=after, second=after)
    )
    assert (found.value, found.units) == (pytest.approx(0), 4)


def test_noise_alone_is_staleness_within_the_ceiling_and_none_beyond_it():
    random = np.random.default_rng(1)
    truth = random.normal(size=400)

    def measured():
        return halves(*(truth + 0.7 * random.normal(size=400) for _ in range(3)))

    found = staleness(measured(), measured())
    assert found.value > 0.2
    assert found.value == pytest.approx(found.noise, abs=0.1)
    assert found.beyond_noise < 0.08


def test_a_change_beyond_noise_is_recovered():
    random = np.random.default_rng(2)
    n, rho = 4000, 0.6
    before = random.normal(size=n)
    after = rho * before + np.sqrt(1 - rho**2) * random.normal(size=n)

    def measured(truth):
        return halves(*(truth + 0.5 * random.normal(size=n) for _ in range(3)))

    found = staleness(measured(before), measured(after))
    exact = 1 - spearmanr(before, after).statistic
    assert found.beyond_noise == pytest.approx(exact, abs=0.05)
    assert found.value > found.beyond_noise


def test_what_cannot_be_ranked_is_left_open():
    assert staleness(halves([1, 2]), halves([1, 2])).value is None
    assert staleness(halves([1, 1, 1, 1]), halves([1, 2, 3, 4])).value is None


@pytest.fixture
def cut():
    """Three layers of two groups and four channels; the middle one goes, then a group and a channel."""
    shape = ModelShape(
        n_layers=3,
        hidden=8,
        head_dim=2,
        heads_per_layer=(4, 4, 4),
        kv_groups_per_layer=(2, 2, 2),
        channels_per_layer=(4, 4, 4),
        other_parameters=10,
    )
    plan = PruningPlan.identity("llama", shape).without_layers([1])
    return plan.with_groups(2, [1]).with_channels(0, [0, 2, 3])


def test_units_carry_the_names_of_the_dense_model(cut):
    scores = Scores(
        groups=(np.array([1.0, 2.0]), np.array([3.0])),
        channels=(np.array([10.0, 12.0, 13.0]), np.array([20.0, 21.0, 22.0, 23.0])),
        comparable=True,
    )
    assert width_scores(scores, cut, "group") == {
        Unit(kind="group", layer=0, index=0): 1.0,
        Unit(kind="group", layer=0, index=1): 2.0,
        Unit(kind="group", layer=2, index=1): 3.0,
    }
    named = width_scores(scores, cut, "channel")
    assert named[Unit(kind="channel", layer=0, index=2)] == 12.0
    assert named[Unit(kind="channel", layer=2, index=3)] == 23.0
    assert layer_scores([0.5, 0.7], cut) == {
        Unit(kind="layer", layer=0): 0.5,
        Unit(kind="layer", layer=2): 0.7,
    }


def test_scores_of_another_model_are_refused(cut):
    scores = Scores(groups=(np.zeros(2),) * 2, channels=(np.zeros(4),) * 2, comparable=True)
    with pytest.raises(PlanError, match="do not fit a plan"):
        width_scores(scores, cut, "group")
    with pytest.raises(PlanError, match="keeps 2 layers"):
        layer_scores([1.0, 2.0, 3.0], cut)
    stranger = halves([1, 2, 3])
    with pytest.raises(PlanError, match="not before it"):
        staleness(stranger, halves([1, 2, 3, 4]))
