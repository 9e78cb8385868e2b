"""Classical features against known answers."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.signals.descriptors.classical import classical_features

RATE_HZ = 12_000.0


def described(x):
    features, names = classical_features(np.atleast_2d(x), RATE_HZ)
    return dict(zip(names, features[0], strict=True))


def test_sine():
    found = described(np.sin(2 * np.pi * 96 / 8_192 * np.arange(8_192)))
    assert found["kurtosis"] == pytest.approx(1.5, abs=1e-3)
    assert found["skewness"] == pytest.approx(0.0, abs=1e-5)
    assert found["crest_factor"] == pytest.approx(np.sqrt(2), abs=1e-3)
    assert found["shape_factor"] == pytest.approx(np.pi / (2 * np.sqrt(2)), abs=1e-3)
    assert found["zero_crossings"] == pytest.approx(2 * 96 / 8_192, rel=0.02)
    assert found["spectral_centroid"] == pytest.approx(95 / 4_095, rel=1e-3)
    assert found["spectral_entropy"] == pytest.approx(0.0, abs=1e-3)
    assert found["band_00"] == pytest.approx(0.0, abs=1e-3)
    assert found["band_05"] < -15.0


def test_white_noise():
    found = described(np.random.default_rng(0).standard_normal(8_192))
    assert found["kurtosis"] == pytest.approx(3.0, abs=0.2)
    assert found["spectral_centroid"] == pytest.approx(0.5, abs=0.02)
    for number in range(24):
        assert found[f"band_{number:02d}"] == pytest.approx(np.log(1 / 24), abs=0.3)
    # the squared envelope of Gaussian noise is exponential: mean square over squared mean is 2
    assert found["envelope_2_kurtosis"] == pytest.approx(np.log(2.0), abs=0.15)


def test_level_does_not_matter():
    x = np.random.default_rng(0).standard_normal((2, 8_192)).astype(np.float32)
    first, names = classical_features(x, RATE_HZ)
    second, _ = classical_features(40.0 * x, RATE_HZ)
    assert first.shape == (2, len(names)) == (2, len(set(names)))
    assert first.dtype == np.float32
    assert np.allclose(first, second, atol=1e-3)
