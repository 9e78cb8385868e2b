from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.bench.statistics import paired_ratio, spread
from secateur.core.errors import MeasurementError


def test_percentiles_are_times_that_were_measured():
    found = spread(list(range(100, 0, -1)))
    assert (found.count, found.mean, found.p50, found.p90, found.p99, found.highest) == (
        100,
        50.5,
        50.0,
        90.0,
        99.0,
        100.0,
    )


def test_one_time_is_every_percentile():
    found = spread([7.0])
    assert {found.mean, found.p50, found.p90, found.p99, found.highest} == {7.0}


def test_no_time_is_refused():
    with pytest.raises(MeasurementError, match="no time"):
        spread([])


def test_a_constant_ratio_has_no_interval_however_the_machine_drifts():
    drift = np.linspace(1.0, 9.0, 12)
    found = paired_ratio(12.5 * drift, drift, seed=0)
    assert found.value == pytest.approx(12.5)
    assert (found.low, found.high) == (pytest.approx(12.5), pytest.approx(12.5))
    assert found.saved == pytest.approx(0.92)
    assert found.turns == 12


def test_a_disturbed_turn_does_not_move_the_ratio():
    base, other = np.full(11, 20.0), np.full(11, 2.0)
    base[3] = 2000.0
    assert paired_ratio(base, other, seed=0).value == 10.0


def test_the_interval_covers_the_true_ratio_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        base = 30.0 * np.exp(0.1 * rng.standard_normal(25))
        other = 3.0 * np.exp(0.1 * rng.standard_normal(25))
        found = paired_ratio(base, other, seed=trial)
        hits += found.low <= 10.0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval():
    base, other = [3.0, 4.0, 5.0, 4.5], [1.0, 1.1, 1.2, 0.9]
    assert paired_ratio(base, other, seed=4) == paired_ratio(base, other, seed=4)


@given(st.lists(st.floats(0.1, 100.0), min_size=1, max_size=20))
def test_a_model_against_itself_is_one(times):
    found = paired_ratio(times, times, seed=0)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("base", "other"), [([1.0], [1.0, 2.0]), ([], []), ([0.0], [1.0]), ([1.0], [0.0])])
def test_what_is_no_pair_of_turns_is_refused(base, other):
    with pytest.raises(MeasurementError):
        paired_ratio(base, other, seed=0)
