from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from secateur.sia.measured.estimators import chance_jaccard, gap, interaction, jaccard, spearman

ONE = np.ones((1, 1))


def one(*values: float) -> list[np.ndarray]:
    return [np.array([[value]]) for value in values]


def test_the_gap_of_one_subset_is_that_of_the_definition():
    joint, summed = one(5.0, 3.0)
    found, mean_joint, mean_summed = gap(joint, summed, ONE)
    assert found[0] == pytest.approx(2.0 / 5.0)
    assert (mean_joint[0], mean_summed[0]) == (5.0, 3.0)


def test_costs_of_two_signs_do_not_blow_the_gap_up():
    assert gap(*one(0.2, -0.1), ONE)[0][0] == pytest.approx(1.5)


def test_subsets_weigh_by_what_they_cost():
    joint, summed = np.array([[10.0], [1e-6]]), np.array([[10.0], [0.0]])
    found, _, _ = gap(joint, summed, np.full((2, 1), 0.5))
    assert found[0] == pytest.approx(1e-7)


def test_removal_that_costs_nothing_has_no_gap():
    zero = np.zeros((2, 1))
    assert gap(zero, zero, np.full((2, 1), 0.5))[0][0] == 0.0


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=6))
def test_a_gap_lies_between_0_and_2_and_below_1_without_gains(rows):
    table = np.array(rows)
    draws = np.full((len(table), 1), 1 / len(table))
    assert 0 <= gap(table[:, :1], table[:, 1:], draws)[0][0] <= 2 + 1e-9
    table = np.abs(table)
    assert gap(table[:, :1], table[:, 1:], draws)[0][0] <= 1 + 1e-9


def test_interaction_worked_out_by_hand():
    # one pair that backs itself up (I = 2), one that overlaps (I = -1)
    joint, first, second = np.array([[4.0], [2.0]]), np.array([[1.0], [2.0]]), np.array([[1.0], [1.0]])
    mean, size, signed = interaction(joint, first, second, np.full((2, 1), 0.5))
    assert mean[0] == pytest.approx(0.5)
    assert size[0] == pytest.approx((2 + 1) / (4 + 3))
    assert signed[0] == pytest.approx((2 - 1) / (4 + 3))


def test_weights_of_draws_choose_pairs():
    joint, first, second = np.array([[4.0] * 2, [2.0] * 2]), np.ones((2, 2)), np.ones((2, 2))
    mean, _, _ = interaction(joint, first, second, np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert mean.tolist() == [2.0, 0.0]


def test_rank_correlation_is_that_of_scipy_column_by_column():
    draw = np.random.default_rng(0)
    first, second = draw.integers(0, 5, (12, 4)).astype(float), draw.random((12, 4))
    expected = [spearmanr(first[:, column], second[:, column]).statistic for column in range(4)]
    assert spearman(first, second) == pytest.approx(expected)


def test_a_constant_has_no_rank_correlation():
    assert np.isnan(spearman(np.ones((4, 1)), np.arange(4.0)[:, None])).all()


def test_overlap_of_sets():
    first = np.array([[True, False], [True, False], [False, False]])
    second = np.array([[True, False], [False, False], [True, False]])
    assert jaccard(first, second).tolist() == pytest.approx([1 / 3, 1.0])


def test_chance_overlap_is_the_mean_over_all_choices():
    draw = np.random.default_rng(1)
    overlaps = []
    for _ in range(4000):
        one_choice, other = set(draw.permutation(9)[:4]), set(draw.permutation(9)[:4])
        overlaps.append(len(one_choice & other) / len(one_choice | other))
    assert chance_jaccard(9, 4) == pytest.approx(np.mean(overlaps), abs=0.01)
    assert chance_jaccard(5, 5) == pytest.approx(1.0)
