"""Kernel dependence: known answers and invariance."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from secateur.core.errors import DataError
from secateur.sia.kernels import (
    centred_alignment,
    class_kernel,
    gaussian_kernel,
    kernel_dependence,
    kernel_violations,
    permuted_hsic,
    unbiased_hsic,
)


def kernels(n, seed=0):
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(n, 3)), random.normal(size=(n, 2))
    return gaussian_kernel(x), gaussian_kernel(y)


def test_the_estimate_is_the_u_statistic_over_all_quadruples():
    """Song et al. 2012, equation 4: the mean over all ordered 4-tuples of different samples."""
    first, second = kernels(7)
    terms = [
        first[i, j] * (second[i, j] + second[q, r] - 2 * second[i, q])
        for i, j, q, r in permutations(range(7), 4)
    ]
    assert unbiased_hsic(first, second) == pytest.approx(np.mean(terms), rel=1e-9)


def test_permuting_the_classes_is_permuting_their_kernel():
    first, _ = kernels(20)
    labels = np.array([0, 1, 2, 2, 5] * 4)
    orders = [np.random.default_rng(seed).permutation(20) for seed in range(5)]
    expected = [unbiased_hsic(first, class_kernel(labels[order])) for order in orders]
    np.testing.assert_allclose(permuted_hsic(first, labels, orders), expected, rtol=1e-10)


def test_independent_data_give_zero_on_average():
    found = [unbiased_hsic(*kernels(40, seed=seed)) for seed in range(200)]
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    assert min(found) < 0


def test_a_kernel_agrees_with_itself():
    first, second = kernels(30)
    assert centred_alignment(first, first) == pytest.approx(1)
    assert centred_alignment(first, second) < 0.5
    assert centred_alignment(first, np.ones((30, 30))) == 0


def test_states_that_are_the_class_stand_far_above_the_null():
    labels = np.arange(60) % 3
    found = kernel_dependence("x", np.eye(3)[labels], labels)
    assert found.cka == pytest.approx(1)
    assert found.cka > 5 * abs(found.null_quantile)
    assert found.p_value == pytest.approx(1 / 201)


def test_independent_states_are_not_called_dependent_more_often_than_stated():
    labels = np.arange(60) % 3
    p_values = [
        kernel_dependence(
            "x",
            np.random.default_rng(seed).normal(size=(60, 4)),
            labels,
            halves=2,
            permutations=99,
            seed=seed,
        ).p_value
        for seed in range(60)
    ]
    assert np.mean(np.array(p_values) <= 0.05) < 0.15
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.13)


def test_orthogonal_maps_shifts_and_scale_change_nothing():
    random = np.random.default_rng(5)
    labels = np.arange(50) % 2
    x = random.normal(size=(50, 6)) + labels[:, None]
    turn = np.linalg.qr(random.normal(size=(6, 6)))[0]
    plain, turned = kernel_dependence("x", x, labels), kernel_dependence("x", 4 * (x @ turn) - 2, labels)
    assert turned.hsic == pytest.approx(plain.hsic, rel=1e-9)
    assert turned.interval == pytest.approx(plain.interval, rel=1e-9)


def test_the_interval_of_random_halves_covers_what_other_samples_give():
    labels = np.arange(80) % 2

    def measured(seed):
        x = np.random.default_rng(seed).normal(size=(80, 3)) + labels[:, None]
        return kernel_dependence("x", x, labels, permutations=1, seed=seed)

    runs = [measured(seed) for seed in range(40)]
    truth = np.mean([run.cka for run in runs])
    covered = np.mean([run.interval[0] < truth < run.interval[1] for run in runs])
    assert covered > 0.8


def test_a_step_that_pulls_the_classes_apart_is_listed():
    random = np.random.default_rng(6)
    labels = np.arange(80) % 2
    x = random.normal(size=(80, 4)) + 0.5 * labels[:, None]
    near, apart = (
        kernel_dependence(name, states, labels, permutations=9)
        for name, states in (("layer 0", x), ("layer 1", x + 3 * labels[:, None]))
    )
    (found,) = kernel_violations([near, apart, near])
    assert (found.former, found.latter) == ("layer 0", "layer 1")
    assert found.gain == pytest.approx(apart.cka - near.cka)


def test_the_class_kernel_is_the_product_of_one_hot_rows():
    labels = np.array([0, 2, 2, 1])
    rows = np.eye(3)[labels]
    np.testing.assert_array_equal(class_kernel(labels), rows @ rows.T)


def test_too_few_samples_are_refused():
    with pytest.raises(DataError, match="at least 8"):
        kernel_dependence("x", np.zeros((5, 2)), np.zeros(5, dtype=int))
    with pytest.raises(DataError, match="4 samples or more"):
        unbiased_hsic(np.eye(3), np.eye(3))
