"""Envelope spectra of signals whose envelope is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import hilbert

from secateur.core.errors import ConfigError
from secateur.signals.envelope import (
    envelope_spectrum,
    fault_line_levels,
    prewhiten,
    squared_envelope,
)

RATE_HZ = 12_000.0
TIME_S = np.arange(8_192) / RATE_HZ
STEP_HZ = RATE_HZ / 8_192


def modulated(depth, rate_hz, carrier_hz=3_000.0):
    return (1.0 + depth * np.cos(2 * np.pi * rate_hz * TIME_S)) * np.cos(2 * np.pi * carrier_hz * TIME_S)


def test_squared_envelope_equals_the_hilbert_transform():
    noise = np.random.default_rng(0).standard_normal(8_192)
    spectrum = np.fft.rfft(noise)
    frequency = np.fft.rfftfreq(8_192, 1 / RATE_HZ)
    spectrum[(frequency < 2_000.0) | (frequency >= 3_000.0)] = 0.0
    reference = np.abs(hilbert(np.fft.irfft(spectrum, 8_192))) ** 2
    found, rate_hz = squared_envelope(noise, RATE_HZ, (2_000.0, 3_000.0))
    assert found.mean() == pytest.approx(reference.mean(), rel=1e-2)
    # same instants: compare the spectra, whose steps are equal
    ours = np.fft.rfft(found) / len(found)
    theirs = np.fft.rfft(reference) / len(reference)
    assert rate_hz == pytest.approx(len(found) * STEP_HZ)
    assert np.abs(ours[:300] - theirs[:300]).max() < 0.03 * reference.mean()


@pytest.mark.parametrize("depth", [0.2, 0.5])
@pytest.mark.parametrize("band_hz", [None, (2_000.0, 4_000.0)])
def test_the_line_has_the_height_of_the_modulation(depth, band_hz):
    rate_hz = 70 * STEP_HZ
    frequency_hz, amplitude = envelope_spectrum(modulated(depth, rate_hz), RATE_HZ, band_hz)
    assert frequency_hz[1] == pytest.approx(STEP_HZ)
    assert frequency_hz[amplitude.argmax()] == pytest.approx(rate_hz)
    # (1 + m cos)^2 over its mean
    assert amplitude.max() == pytest.approx(2 * depth / (1 + depth**2 / 2), rel=0.01)


def test_another_band_does_not_see_it():
    x = modulated(0.5, 70 * STEP_HZ) + 0.1 * np.random.default_rng(0).standard_normal(8_192)
    _, inside = envelope_spectrum(x, RATE_HZ, (2_500.0, 3_500.0))
    _, outside = envelope_spectrum(x, RATE_HZ, (500.0, 1_500.0))
    assert inside[70] > 5 * outside[70]


def test_level_does_not_matter():
    x = np.random.default_rng(0).standard_normal((2, 4_096))
    assert np.allclose(envelope_spectrum(x, RATE_HZ)[1], envelope_spectrum(100.0 * x, RATE_HZ)[1])


def test_prewhitening_levels_the_spectrum_and_keeps_the_phase():
    x = np.random.default_rng(0).standard_normal(4_096) + 50.0 * np.sin(2 * np.pi * 500.0 * TIME_S[:4_096])
    white = prewhiten(x)
    magnitude = np.abs(np.fft.rfft(white))[1:-1]
    assert magnitude.std() < 1e-6 * magnitude.mean()
    assert np.allclose(np.angle(np.fft.rfft(white)[1:50] / np.fft.rfft(x)[1:50]), 0.0, atol=1e-6)
    assert np.sqrt(np.mean(white**2)) == pytest.approx(1.0)


def test_levels_find_a_line_within_the_slip_and_not_elsewhere():
    amplitude = np.ones((2, 1_000))
    amplitude[0, 202] = np.e**2
    levels = fault_line_levels(amplitude, 1.0, np.array([[200.0, 150.0, 0.0], [200.0, 5_000.0, 3.0]]))
    assert levels == pytest.approx(np.array([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), abs=1e-9)
    narrow = fault_line_levels(amplitude, 1.0, np.array([[200.0], [200.0]]), tolerance=0.0)
    assert not narrow.any()


@pytest.mark.parametrize(
    "band_hz", [(4_000.0, 3_000.0), (1_000.0, 7_000.0), (1_000.0, 1_001.0), (-5.0, 900.0)]
)
def test_impossible_bands_are_refused(band_hz):
    with pytest.raises(ConfigError, match="demodulation band"):
        envelope_spectrum(np.ones(8_192), RATE_HZ, band_hz)
