from __future__ import annotations

import numpy as np
import pytest

from secateur.sia.measured.bootstrap import correlation_of, estimate_of, resampling_weights
from secateur.sia.measured.estimators import spearman

REPEATS = 200


def test_weights_add_up_and_begin_with_the_measured_set():
    weights = resampling_weights(7, seed=0, name="x", replicates=20)
    assert weights.shape == (7, 21)
    assert weights[:, 0] == pytest.approx(np.full(7, 1 / 7))
    assert weights.sum(axis=0) == pytest.approx(np.ones(21))
    assert (weights[:, 1:].std(axis=0) > 0).all()


def test_the_same_seed_and_name_give_the_same_weights():
    assert (resampling_weights(5, seed=3, name="x") == resampling_weights(5, seed=3, name="x")).all()
    assert (resampling_weights(5, seed=3, name="x") != resampling_weights(5, seed=3, name="y")).any()


def test_the_interval_of_a_mean_covers_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(0)
    covered = 0
    for repeat in range(REPEATS):
        sample = draw.exponential(1.0, size=60)
        found = estimate_of(sample @ resampling_weights(60, seed=repeat, name="mean"))
        assert found.low <= found.value <= found.high
        covered += found.low <= 1.0 <= found.high
    assert 0.88 <= covered / REPEATS <= 0.99


def test_the_interval_of_a_rank_correlation_of_noisy_scores_covers_it():
    draw = np.random.default_rng(1)
    before = draw.standard_normal(24)
    after = before + 0.5 * draw.standard_normal(24)

    def scores() -> tuple[np.ndarray, np.ndarray]:
        noise = draw.standard_normal((16, 24))
        return before + noise, after + 0.7 * noise + 0.7 * draw.standard_normal((16, 24))

    whole = np.full((16, 1), 1 / 16)
    truth = np.mean(
        [spearman(one.T @ whole, other.T @ whole)[0] for one, other in (scores() for _ in range(500))]
    )
    covered = 0
    for repeat in range(REPEATS):
        one, other = scores()
        weights = resampling_weights(16, seed=repeat, name="parts")
        found = correlation_of(spearman(one.T @ weights, other.T @ weights))
        covered += found.low <= truth <= found.high
    assert 0.88 <= covered / REPEATS <= 1.0


@pytest.mark.parametrize("turn", [estimate_of, correlation_of])
def test_a_statistic_that_never_moves_has_an_interval_of_no_width(turn):
    found = turn(np.full(101, 0.25))
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))


@pytest.mark.parametrize("turn", [estimate_of, correlation_of])
def test_what_is_not_known_is_nan(turn):
    assert np.isnan(turn(np.array([np.nan, 1.0, 2.0])).width)
    assert np.isnan(turn(np.array([1.0, np.nan, np.nan])).width)


def test_a_perfect_correlation_keeps_its_value():
    found = correlation_of(np.array([1.0, 1.0, 0.9, 0.95, 1.0]))
    assert found.value == 1.0
    assert found.low < 1.0 <= found.high
