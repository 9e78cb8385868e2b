"""Paired tests over seeds: known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from secateur.core.errors import ConfigError
from secateur.workflow.order_tests import (
    compare_to,
    holm,
    mean_interval,
    paired_test,
    sign_flip_p_value,
)


def test_the_t_test_is_scipys():
    random = np.random.default_rng(0)
    a, b = random.normal(size=6), random.normal(size=6)
    expected = stats.ttest_rel(a, b)
    found = paired_test("x", a - b)
    assert found.t_p_value == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval(0.95)
    assert found.interval == pytest.approx((low, high))
    assert found.difference == pytest.approx((a - b).mean())


def test_the_sign_flip_test_is_scipys_exact_permutation_test():
    values = np.array([0.4, -0.1, 0.3, 0.8, 0.2])
    expected = stats.permutation_test(
        (values, np.zeros(5)), lambda a, b: (a - b).mean(), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p_value(values) == pytest.approx(expected.pvalue)
    # 32 flips; besides the one seen only that of the smallest value reaches as far, each with its mirror
    assert sign_flip_p_value([5, 4, 3, 2, 0]) == pytest.approx(4 / 32)


@pytest.mark.parametrize("n", [1, 3, 5])
def test_differences_of_one_sign_reach_the_least_p_value(n):
    found = paired_test("x", np.arange(1, n + 1) / 10)
    assert found.exact_p_value == found.smallest_p_value == pytest.approx(2 / 2**n)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=7))
def test_the_exact_p_value_is_a_share_of_the_flips_and_blind_to_sign_and_scale(values):
    found = sign_flip_p_value(values)
    assert 1 / 2 ** len(values) <= found <= 1
    assert sign_flip_p_value([-value for value in values]) == found
    assert sign_flip_p_value(values[::-1]) == found


def test_no_difference_at_all_is_certain_to_be_chance():
    found = paired_test("x", [0.0, 0.0, 0.0])
    assert (found.t_p_value, found.exact_p_value, found.difference) == (1.0, 1.0, 0.0)


def test_what_one_seed_or_one_number_cannot_tell_is_left_open():
    assert paired_test("x", [0.3]).t_p_value is None
    assert paired_test("x", [0.3]).interval is None
    assert paired_test("x", [0.25, 0.25, 0.25]).t_p_value is None
    assert mean_interval([1.0]) is None


def test_holms_correction_of_his_own_kind():
    # sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, never falling
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert holm([]) == []


def test_arms_are_paired_by_seed_and_corrected_together():
    values = {
        "reference": {0: 1.0, 1: 2.0, 2: 3.0},
        "a": {2: 3.5, 0: 1.4, 1: 2.6},
        "b": {0: 1.0, 1: 2.0, 7: 9.0},
        "never run": {},
    }
    first, second = compare_to("reference", values)
    assert (first.name, first.n_seeds, first.difference) == ("a", 3, pytest.approx(0.5))
    assert (second.name, second.n_seeds, second.difference) == ("b", 2, 0.0)
    assert first.t_p_holm == pytest.approx(2 * first.t_p_value)
    assert second.t_p_holm == 1.0


def test_a_comparison_without_reference_or_with_too_many_seeds_is_refused():
    with pytest.raises(ConfigError, match="no figures"):
        compare_to("reference", {"reference": {}, "a": {0: 1.0}})
    with pytest.raises(ConfigError, match="20 at most"):
        sign_flip_p_value(np.ones(21))
