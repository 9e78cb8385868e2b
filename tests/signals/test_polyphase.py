"""Polyphase filtering against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import firwin, upfirdn

from secateur.signals import polyphase
from secateur.signals.polyphase import kaiser_low_pass, up_filter_down


@pytest.mark.parametrize(("n_taps", "cutoff"), [(65, 0.92), (257, 0.23), (1281, 0.046)])
def test_low_pass_is_the_windowed_sinc_of_scipy(n_taps, cutoff):
    expected = firwin(n_taps, cutoff, window=("kaiser", 7.9))
    np.testing.assert_allclose(kaiser_low_pass(n_taps, cutoff, 7.9), expected, atol=1e-15)


factors = st.tuples(st.integers(1, 40), st.integers(1, 40)).filter(lambda pair: np.gcd(*pair) == 1)


@settings(max_examples=60)
@given(
    pair=factors,
    n_taps=st.integers(1, 300),
    n_samples=st.integers(1, 400),
    share=st.floats(0.1, 1.0),
    seed=st.integers(0, 100),
    gathered=st.booleans(),
)
def test_filtering_equals_scipy(pair, n_taps, n_samples, share, seed, gathered):
    up, down = pair
    rng = np.random.default_rng(seed)
    taps = rng.standard_normal(n_taps).astype(np.float32)
    x = rng.standard_normal((2, n_samples)).astype(np.float32)
    expected = upfirdn(taps.astype(float), x.astype(float), up, down)
    n_outputs = max(1, int(share * expected.shape[1]))
    compute = polyphase._gathered if gathered else up_filter_down
    found = compute(taps, x, up, down, n_outputs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[:, :n_outputs], atol=1e-4)


def test_large_factors_do_not_build_large_matrices():
    x = np.ones((1, 50), dtype=np.float32)
    taps = np.ones(3, dtype=np.float32)
    expected = upfirdn(taps, x, 19_999, 20_000)
    found = up_filter_down(taps, x, 19_999, 20_000, expected.shape[1])
    np.testing.assert_array_equal(found, expected)
