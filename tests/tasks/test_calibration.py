"""Calibration windows are drawn stratified and repeatably."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.core.errors import ConfigError
from secateur.tasks.calibration import stratified_indices


def test_classes_are_even_whatever_their_numbers():
    labels = np.array([0] * 90 + [1] * 8 + [2] * 2)
    chosen = labels[stratified_indices(labels, 14, seed=0)]
    assert np.bincount(chosen).tolist() == [6, 6, 2]


def test_the_seed_decides():
    labels = np.arange(100) % 4
    first, again, other = (stratified_indices(labels, 20, seed=seed) for seed in (0, 0, 1))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert len(set(first.tolist())) == 20


def test_neighbours_are_of_different_classes():
    labels = np.repeat(np.arange(5), 20)
    chosen = labels[stratified_indices(labels, 50, seed=3)]
    assert all(len(set(chosen[start : start + 5])) == 5 for start in range(0, 50, 5))


def test_more_than_there_is_gives_all():
    assert sorted(stratified_indices(np.zeros(7, dtype=int), 100, seed=0)) == list(range(7))


def test_none_is_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        stratified_indices(np.zeros(7, dtype=int), 0, seed=0)
