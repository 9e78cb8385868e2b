"""Classical vibration features for a random forest: shape of the waveform, spectrum and envelope.

None of them depends on the level, and none needs to know the bearing or the speed.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import rfft

from secateur.signals.descriptors.fault_lines import BANDS
from secateur.signals.envelope import spectrum_of_envelope, squared_envelope

N_SPECTRAL_BANDS = 24
_TINY = 1e-12


def classical_features(windows: np.ndarray, sampling_rate_hz: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return features of each window.

    Time: skewness, kurtosis, crest, shape, impulse and clearance factors, zero crossings, roughness
    (Lei and others, Mechanical Systems and Signal Processing 21, 2007). Spectrum: share of the power in
    24 equal bands (logarithm), centroid, spread, entropy, flatness. Envelope, in four bands:
    kurtosis, largest line over the median line, and the share of its power below 5, 15 and 30 % of its lines.

    Parameters
    ----------
    windows : ndarray, shape (windows, samples)
    sampling_rate_hz : float

    Returns
    -------
    features : ndarray of float32, shape (windows, features)
    names : tuple of str
    """
    columns = _time(windows) | _spectrum(windows) | _envelope(windows, sampling_rate_hz)
    return np.stack(list(columns.values()), axis=1).astype(np.float32), tuple(columns)


def _time(x: np.ndarray) -> dict[str, np.ndarray]:
    x = x - x.mean(axis=-1, keepdims=True)
    magnitude = np.abs(x)
    rms = np.sqrt(np.mean(x**2, axis=-1)) + _TINY
    peak, mean_magnitude = magnitude.max(axis=-1), magnitude.mean(axis=-1) + _TINY
    difference_rms = np.sqrt(np.mean(np.diff(x, axis=-1) ** 2, axis=-1))
    return {
        "skewness": np.mean(x**3, axis=-1) / rms**3,
        "kurtosis": np.mean(x**4, axis=-1) / rms**4,
        "crest_factor": peak / rms,
        "shape_factor": rms / mean_magnitude,
        "impulse_factor": peak / mean_magnitude,
        "clearance_factor": peak / (np.mean(np.sqrt(magnitude), axis=-1) ** 2 + _TINY),
        "zero_crossings": np.mean(np.diff(np.signbit(x), axis=-1), axis=-1),
        "roughness": difference_rms / rms,
    }


def _spectrum(x: np.ndarray) -> dict[str, np.ndarray]:
    spectrum = rfft(x, axis=-1)[..., 1:]
    power = spectrum.real**2 + spectrum.imag**2
    power /= power.sum(axis=-1, keepdims=True) + _TINY
    borders = np.linspace(0, power.shape[-1], N_SPECTRAL_BANDS + 1).round().astype(int)[:-1]
    bands = np.log(np.add.reduceat(power, borders, axis=-1) + 1e-9)
    columns = {f"band_{number:02d}": bands[:, number] for number in range(N_SPECTRAL_BANDS)}
    place = np.linspace(0.0, 1.0, power.shape[-1])
    centroid = power @ place
    columns["spectral_centroid"] = centroid
    columns["spectral_spread"] = np.sqrt(np.maximum(power @ place**2 - centroid**2, 0.0))
    columns["spectral_entropy"] = -np.sum(power * np.log(power + _TINY), axis=-1) / np.log(power.shape[-1])
    columns["spectral_flatness"] = np.mean(np.log(power + _TINY), axis=-1) - np.log(power.mean(axis=-1))
    return columns


def _envelope(x: np.ndarray, sampling_rate_hz: float) -> dict[str, np.ndarray]:
    columns = {}
    for number, (low, high) in enumerate(BANDS):
        band_hz = (low * sampling_rate_hz, high * sampling_rate_hz)
        squared, rate_hz = squared_envelope(x, sampling_rate_hz, band_hz)
        _, amplitude = spectrum_of_envelope(squared, rate_hz)
        amplitude = amplitude[:, 2:]
        columns[f"envelope_{number}_kurtosis"] = np.log(
            np.mean(squared**2, axis=-1) / (np.mean(squared, axis=-1) ** 2 + _TINY)
        )
        columns[f"envelope_{number}_peak"] = np.log(
            amplitude.max(axis=-1) / (np.median(amplitude, axis=-1) + _TINY)
        )
        power = np.cumsum(amplitude**2, axis=-1)
        for percent in (5, 15, 30):
            border = amplitude.shape[-1] * percent // 100
            columns[f"envelope_{number}_below_{percent}"] = power[:, border] / (power[:, -1] + _TINY)
    return columns
