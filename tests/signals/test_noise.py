"""Noise at an exact ratio."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.core.errors import ConfigError
from secateur.signals.noise import add_noise
from secateur.signals.windows import normalise


def waves(n=3, n_samples=65_536):
    time = np.arange(n_samples)
    return normalise(np.stack([np.sin(0.1 * (k + 1) * time) for k in range(n)]))


def ratio_db(noisy, clean):
    """Recover the ratio: the noise is what is left beside the best multiple of the clean window."""
    share = np.sum(noisy * clean, axis=-1, keepdims=True) / np.sum(clean**2, axis=-1, keepdims=True)
    rest = noisy - share * clean
    return 10 * np.log10(np.sum((share * clean) ** 2, axis=-1) / np.sum(rest**2, axis=-1))


@settings(max_examples=20)
@given(snr_db=st.floats(-12.0, 20.0), seed=st.integers(0, 100))
def test_the_ratio_is_met_and_the_scale_is_one(snr_db, seed):
    clean = waves()
    noisy = add_noise(clean, snr_db, np.random.default_rng(seed))
    assert np.sqrt(np.mean(noisy**2, axis=-1)) == pytest.approx(1.0, abs=1e-5)
    # a draw is not quite orthogonal to the window, hence the tolerance
    assert np.allclose(ratio_db(noisy, clean), snr_db, atol=0.8)


def test_the_ratio_is_exact_by_power():
    # a background orthogonal to the window makes the recovered ratio exact
    time = np.arange(2_048)
    clean = normalise(np.sin(2 * np.pi * 10 * time / 2_048))[None]
    background = 17.0 * np.cos(2 * np.pi * 10 * time / 2_048)[None] + 3.0
    for snr_db in (-10.0, 0.0, 7.0):
        noisy = add_noise(clean, snr_db, np.random.default_rng(0), background)
        assert ratio_db(noisy, clean)[0] == pytest.approx(snr_db, abs=1e-3)


def test_one_ratio_for_each_window():
    found = ratio_db(add_noise(waves(), np.array([-10.0, 0.0, 10.0]), np.random.default_rng(0)), waves())
    assert np.allclose(found, [-10.0, 0.0, 10.0], atol=1.0)


def test_the_same_generator_gives_the_same_noise():
    first, second = (add_noise(waves(), -3.0, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)


def test_wrong_use():
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="finite"):
        add_noise(waves(), float("nan"), rng)
    with pytest.raises(ConfigError, match="white"):
        add_noise(waves(), 0.0, rng, "pink")
    with pytest.raises(ConfigError, match="65536"):
        add_noise(waves(), 0.0, rng, np.ones((2, 100)))
