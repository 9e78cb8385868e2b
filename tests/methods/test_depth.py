"""The choice of depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from even_shapes import whole
from secateur.core.errors import PlanError
from secateur.methods.depth import candidate_starts, choose_depth, removable_layers
from secateur.methods.largest import narrowest
from secateur.scoring.layers import LayerRanking
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Target

IDENTITY = whole("llama", 6, groups=2)
RANKING = LayerRanking(order=(3, 1, 4), losses=(0.0,) * 4, single_increases=(0.0,) * 6)


def starts_of(*depths):
    return [IDENTITY.without_layers((3, 1, 4, 0, 2)[: 6 - depth]) for depth in depths]


def choose(losses_by_depth, tolerance=0.0):
    starts = starts_of(*sorted(losses_by_depth))
    losses = {depth: np.asarray(values) for depth, values in losses_by_depth.items()}
    return choose_depth(
        RANKING, starts, lambda start: start, lambda plan: losses[len(plan.layers)], tolerance=tolerance
    )


def test_the_clearly_best_depth_wins():
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.standard_normal((3, 200))
    choice = choose({2: 3.0 + noise[0], 4: 1.0 + noise[1], 6: 2.0 + noise[2]})
    assert choice.layers == 4
    assert [probe.layers for probe in choice.probes] == [2, 4, 6]
    assert choice.probes[1].excess == 0.0


def test_within_noise_the_fewer_layers_win():
    rng = np.random.default_rng(1)
    common = rng.exponential(1.0, 400)
    jitter = rng.standard_normal(400)
    jitter -= jitter.mean()
    assert choose({3: common + jitter + 0.01, 5: common, 6: common + 5}).layers == 3
    assert choose({3: common + jitter + 0.5, 5: common, 6: common + 5}).layers == 5


def test_pairing_by_window_sees_small_but_steady_differences():
    common = np.random.default_rng(2).exponential(5.0, 400)
    assert choose({3: common + 0.01, 5: common}).layers == 5


def test_a_loss_within_the_tolerance_buys_fewer_layers():
    common = np.random.default_rng(3).exponential(1.0, 400)
    losses = {2: common + 0.03, 3: common + 0.008, 5: common}
    assert choose(losses, tolerance=0.01).layers == 3
    assert choose(losses, tolerance=0.005).layers == 5


def test_a_single_candidate_is_taken_unmeasured():
    def fail(_plan):
        raise AssertionError("nothing to compare")

    choice = choose_depth(RANKING, starts_of(4), fail, fail, tolerance=0.0)
    assert (choice.layers, choice.probes) == (4, ())


def test_candidates_run_from_whole_layers_to_narrowest_that_fit():
    whole = parameters(IDENTITY.without_layers(range(4)))
    assert removable_layers(IDENTITY, Target(parameters=whole)) == 4
    assert removable_layers(IDENTITY, Target(parameters=whole - 1)) == 5
    assert removable_layers(IDENTITY, Target(parameters=parameters(IDENTITY))) == 0
    order = (3, 1, 4, 0, 2)
    fits_four = parameters(narrowest(IDENTITY.without_layers(order[:2])))
    starts = candidate_starts(IDENTITY, order, Target(parameters=fits_four), limit=10)
    assert [len(start.layers) for start in starts] == [1, 2, 3, 4]
    assert starts[1].removed_layers == (0, 1, 3, 4)
    limited = candidate_starts(IDENTITY, order, Target(parameters=fits_four), limit=3)
    assert [len(start.layers) for start in limited] == [1, 2, 4]
    spending = candidate_starts(IDENTITY, order, Target(parameters=whole), limit=10)
    assert [len(start.layers) for start in spending] == [2, 3, 4, 5, 6]


def test_depths_that_the_units_to_be_cut_cannot_bring_down_are_no_candidates():
    order = (3, 1, 4, 0, 2)
    target = Target(parameters=parameters(narrowest(IDENTITY.without_layers(order[:2]), ("channel",))))
    starts = candidate_starts(IDENTITY, order, target, limit=10, kinds=("channel",))
    assert [len(start.layers) for start in starts] == [2, 3, 4]
    assert len(candidate_starts(IDENTITY, order, target, limit=10)) == 5
    least = parameters(narrowest(IDENTITY.without_layers(order), ("channel",)))
    with pytest.raises(
        PlanError, match=f"fewest layers, 1, cutting channels leaves at least {least:,} parameters"
    ):
        candidate_starts(IDENTITY, order, Target(parameters=least - 1), limit=10, kinds=("channel",))


def test_a_depth_that_leaves_budget_unspent_is_the_last_resort():
    order = (3, 1, 4, 0, 2)
    one_group = replace(IDENTITY.shape, kv_groups_per_layer=(1,) * 6, channels_per_layer=(1,) * 6)
    rigid = PruningPlan.identity("llama", one_group)
    between = (parameters(rigid.without_layers(order[:3])) + parameters(rigid.without_layers(order[:2]))) // 2
    starts = candidate_starts(rigid, order, Target(parameters=between), limit=10)
    assert [len(start.layers) for start in starts] == [3]
