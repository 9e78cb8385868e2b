from __future__ import annotations

import numpy as np
import pytest

from secateur.sia.measured.bootstrap import REPLICATES, resampling_weights
from secateur.sia.measured.stability import Shift, rank_stability

PARTS, UNITS = 16, 30
WEIGHTS = resampling_weights(PARTS, seed=0, name="parts-of-samples")


def scores(noise: float, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    return np.arange(UNITS) + noise * draw.standard_normal((PARTS, UNITS))


def test_scores_that_do_not_move_are_stable():
    value, across, ceiling = rank_stability(
        [Shift(before=scores(0.0, 0), after=scores(0.0, 0))], WEIGHTS, seed=0
    )
    assert (value.value, across.value, ceiling.value) == pytest.approx((1.0, 1.0, 1.0))


def test_a_turned_order_is_minus_one_on_a_full_ceiling():
    before = scores(0.0, 0)
    value, across, ceiling = rank_stability([Shift(before=before, after=-before)], WEIGHTS, seed=0)
    assert (value.value, across.value, ceiling.value) == pytest.approx((-1.0, -1.0, 1.0))


def test_noise_lowers_ceiling_and_halves_alike_while_shared_samples_hide_it():
    before = scores(40.0, 1)
    value, across, ceiling = rank_stability([Shift(before=before, after=before)], WEIGHTS, seed=0)
    assert value.value == pytest.approx(1.0)
    assert ceiling.value < 0.9
    assert across.value == pytest.approx(ceiling.value)


def test_what_really_moves_falls_below_the_ceiling():
    draw = np.random.default_rng(2)
    moved = draw.permutation(UNITS).astype(float)
    shift = Shift(before=scores(5.0, 3), after=moved + scores(5.0, 4) - np.arange(UNITS))
    value, across, ceiling = rank_stability([shift], WEIGHTS, seed=0)
    assert value.high < ceiling.low
    assert across.high < ceiling.low


def test_the_value_is_the_mean_over_removed_parts():
    before = scores(0.0, 0)
    shifts = [Shift(before=before, after=before), Shift(before=before, after=-before)]
    value, _, _ = rank_stability(shifts, WEIGHTS, seed=0)
    assert value.value == pytest.approx(0.0)
    assert value.width > 1


def test_too_few_samples_for_two_halves_leave_the_ceiling_open():
    weights = np.ones((1, 1 + REPLICATES))
    shift = Shift(before=scores(0.0, 0)[:1], after=scores(0.0, 0)[:1])
    value, across, ceiling = rank_stability([shift], weights, seed=0)
    assert value.value == pytest.approx(1.0)
    assert np.isnan([across.value, ceiling.value]).all()
