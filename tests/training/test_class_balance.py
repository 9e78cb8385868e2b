from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import DataError
from secateur.training.class_balance import BatchSampler, class_weights


def test_weights_even_out_the_classes():
    labels = np.array([0] * 6 + [2] * 2)
    weights = class_weights(labels, 4)
    np.testing.assert_allclose(weights, [8 / 12, 0, 2, 0])
    assert weights[labels].mean() == pytest.approx(1)


def test_the_healthy_class_weighs_as_much_as_all_damages_together():
    labels = np.array([0] * 3 + [1] * 6 + [2] * 3 + [3] * 2)
    weights = class_weights(labels, 4, healthy=0)
    sums = np.bincount(labels, weights=weights[labels])
    np.testing.assert_allclose(sums, [7, 7 / 3, 7 / 3, 7 / 3])
    np.testing.assert_allclose(class_weights(np.zeros(4, int), 2, healthy=0), [1, 0])


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.integers(1, 16), st.booleans())
def test_a_step_is_the_same_whenever_it_is_asked_for(labels, batch_size, balanced):
    labels = np.array(labels)
    sampler = BatchSampler(labels, batch_size, 7, balanced=balanced)
    in_order = [sampler.indices(step) for step in range(12)]
    for step in (11, 3, 0, 7):
        fresh = BatchSampler(labels, batch_size, 7, balanced=balanced)
        np.testing.assert_array_equal(fresh.indices(step), in_order[step])
        np.testing.assert_array_equal(sampler.indices(step), in_order[step])


def test_balanced_batches_hold_all_classes_equally_often():
    labels = np.array([0] * 90 + [1] * 3 + [2] * 30)
    sampler = BatchSampler(labels, 9, 0, balanced=True)
    for step in range(20):
        np.testing.assert_array_equal(np.bincount(labels[sampler.indices(step)]), [3, 3, 3])


def test_half_of_a_balanced_batch_is_healthy():
    labels = np.array([1] * 90 + [0] * 9 + [2] * 30 + [3] * 5)
    sampler = BatchSampler(labels, 12, 0, balanced=True, healthy=0)
    drawn = np.stack([sampler.indices(step) for step in range(15)])
    for batch in drawn:
        np.testing.assert_array_equal(np.bincount(labels[batch]), [6, 2, 2, 2])
    healthy = drawn[labels[drawn] == 0]
    np.testing.assert_array_equal(np.bincount(healthy - 90), [10] * 9)


@pytest.mark.parametrize("balanced", [True, False])
def test_every_window_is_used_before_any_is_used_again(balanced):
    labels = np.repeat([0, 1], 10)
    sampler = BatchSampler(labels, 4, 0, balanced=balanced)
    drawn = np.concatenate([sampler.indices(step) for step in range(10)])
    np.testing.assert_array_equal(np.sort(drawn[:20]), np.arange(20))
    np.testing.assert_array_equal(np.sort(drawn[20:]), np.arange(20))
    assert not np.array_equal(drawn[:20], drawn[20:])


def test_unusable_labels_are_refused():
    with pytest.raises(DataError, match="no training windows"):
        BatchSampler(np.zeros(0, int), 4, 0, balanced=True)
    with pytest.raises(DataError, match="2 training windows have no label"):
        BatchSampler(np.array([0, -1, -1]), 4, 0, balanced=True)
