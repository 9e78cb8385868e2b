"""Thresholds against answers whose confidence and truth are known."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.core.errors import DataError
from secateur.training.abstention import ERROR_AIMED_AT, MOST_CONFIDENCE, fit_abstention
from secateur.training.metrics import log_softmax


def drawn(n, factor, seed=0):
    """Logits whose probabilities, divided by ``factor``, are the true ones."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0.0, 3.0, (n, 4))
    probabilities = np.exp(log_softmax(true))
    labels = np.array([rng.choice(4, p=row) for row in probabilities])
    return factor * true, labels


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_the_temperature_is_found(factor):
    logits, labels = drawn(4_000, factor)
    record = fit_abstention(logits, labels, ["a"] * 4_000, set_on="held-out specimens")
    assert record.temperature == pytest.approx(factor, rel=0.1)
    assert record.windows == 4_000
    assert record.specimens == 1


def test_on_training_specimens_it_is_never_sharpened():
    logits, labels = drawn(1_000, 0.5)
    record = fit_abstention(logits, labels, ["a"] * 1_000, set_on="windows of the training specimens")
    assert record.temperature >= 1.0


def test_answers_above_the_threshold_are_right_often_enough():
    logits, labels = drawn(4_000, 1.0)
    record = fit_abstention(logits, labels, ["a"] * 4_000, set_on="held-out specimens")
    log_p = log_softmax(logits / record.temperature)
    given = np.exp(log_p.max(axis=1)) >= record.least_confidence
    wrong = (log_p.argmax(axis=1) != labels)[given]
    assert 0.2 < given.mean() < 0.9
    assert wrong.mean() <= ERROR_AIMED_AT


def test_a_model_that_is_surely_wrong_never_answers():
    logits = np.tile([9.0, 0.0], (100, 1))
    record = fit_abstention(logits, np.ones(100, int), ["a"] * 100, set_on="held-out specimens")
    assert record.least_confidence == MOST_CONFIDENCE


def test_unusual_windows_have_less_energy():
    logits, labels = drawn(2_000, 1.0)
    logits = logits + 5.0
    record = fit_abstention(logits, labels, ["a"] * 2_000, set_on="held-out specimens")
    assert record.least_energy > 3.0 / record.temperature


def test_labels_are_needed():
    with pytest.raises(DataError, match="no labelled windows"):
        fit_abstention(np.zeros((2, 3)), np.array([-1, -1]), ["a", "a"], set_on="held-out specimens")
