from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from secateur.core.errors import DataError
from secateur.training import metrics

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


@given(pairs)
def test_counts_and_figures_agree_with_scikit_learn(rows):
    labels, predicted = np.array(rows).T
    counts = metrics.confusion(labels, predicted, 4)
    np.testing.assert_array_equal(counts, reference.confusion_matrix(labels, predicted, labels=range(4)))
    present = np.unique(labels)
    assert metrics.accuracy(counts) == pytest.approx(reference.accuracy_score(labels, predicted))
    assert metrics.macro_f1(counts) == pytest.approx(
        reference.f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    )
    recalls = metrics.per_class_recall(counts)
    np.testing.assert_allclose(
        recalls[present],
        reference.recall_score(labels, predicted, labels=present, average=None, zero_division=0),
    )
    assert np.isnan(np.delete(recalls, present)).all()


def test_false_alarms_count_healthy_windows_only():
    counts = np.array([[6, 1, 1], [5, 0, 0], [0, 0, 9]])
    assert metrics.false_alarm_rate(counts, 0) == pytest.approx(2 / 8)
    assert metrics.false_alarm_rate(counts, None) is None
    assert metrics.false_alarm_rate(np.array([[0, 0], [1, 4]]), 0) is None


def test_labels_that_cannot_be_judged_are_refused():
    with pytest.raises(DataError, match="no windows"):
        metrics.confusion(np.zeros(0, int), np.zeros(0, int), 3)
    with pytest.raises(DataError, match="unlabelled"):
        metrics.confusion(np.array([-1, 0]), np.array([0, 0]), 3)
    with pytest.raises(DataError, match=r"0\.\.2"):
        metrics.confusion(np.array([3]), np.array([0]), 3)


def test_calibration_error_by_hand():
    # Two windows at confidence 0.9, one right; two at 0.6, both right.
    logits = np.log([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    labels = np.array([0, 1, 0, 0])
    assert metrics.expected_calibration_error(logits, labels) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_a_certain_and_right_model_is_calibrated():
    logits = 100 * np.eye(3)
    assert metrics.expected_calibration_error(logits, np.arange(3)) == pytest.approx(0, abs=1e-9)


def test_kl_of_known_distributions():
    p, q = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    expected = 0.5 * np.log(2) + 0.5 * np.log(2 / 3)
    assert metrics.kl_divergence(np.log(p), np.log(q) + 7) == pytest.approx(expected)
    assert metrics.kl_divergence(np.log(p), np.log(p) - 3) == pytest.approx(0, abs=1e-12)


def test_agreement_looks_at_decisions_only():
    assert metrics.agreement(np.array([[1, 0], [0, 2]]), np.array([[9, 8], [5, 1]])) == 0.5


def test_interval_over_specimens_is_wider_than_over_windows():
    correct = np.repeat([1.0, 1.0, 0.0, 1.0], 100)
    specimens = np.repeat(np.arange(4), 100)
    low, high = metrics.bootstrap_interval(correct)
    low_clustered, high_clustered = metrics.bootstrap_interval(correct, clusters=specimens)
    assert low < 0.75 < high
    assert high - low < 0.1
    assert high_clustered - low_clustered > 0.4
    assert metrics.bootstrap_interval(correct) == (low, high)


def test_interval_of_a_mean_has_the_textbook_width():
    values = np.random.default_rng(0).random(4000) < 0.3
    low, high = metrics.bootstrap_interval(values)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.3 * 0.7 / 4000), rel=0.1)
