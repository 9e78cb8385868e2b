"""Squared-envelope spectra, and how far fault lines stand out of them.

A defect knocks a structural mode; the mode's ring is weak in the spectrum but its envelope repeats at
the defect's rate (Randall and Antoni, Mechanical Systems and Signal Processing 25, 2011). On NumPy alone, so
that the device beside the machine can use it.
"""

from __future__ import annotations

import numpy as np
from numpy.fft import ifft as inverse_fft
from numpy.fft import irfft, rfft

from secateur.core.errors import ConfigError
from secateur.signals.fast_length import fast_length

_TINY = 1e-12


def prewhiten(x: np.ndarray) -> np.ndarray:
    """Give every frequency the same amplitude and keep its phase (cepstrum prewhitening).

    Strong discrete tones and resonances are levelled, so that impulses stand out in the full band
    (Borghesani and others, Mechanical Systems and Signal Processing 36, 2013).

    Parameters
    ----------
    x : ndarray, shape (..., samples)

    Returns
    -------
    ndarray, same shape, unit RMS
    """
    spectrum = rfft(x, axis=-1)
    spectrum /= np.abs(spectrum) + _TINY
    spectrum[..., 0] = 0.0
    white = irfft(spectrum, n=x.shape[-1], axis=-1)
    return white / (np.sqrt(np.mean(white**2, axis=-1, keepdims=True)) + _TINY)


def band_lines(
    samples: int, sampling_rate_hz: float, band_hz: tuple[float, float] | None = None
) -> tuple[int, int]:
    """Return the first spectral line of a band that is demodulated, and one past the last.

    Raises
    ------
    ConfigError
        If the band is not within zero and the Nyquist rate or is narrower than four lines.
    """
    low, high = band_hz if band_hz is not None else (0.0, sampling_rate_hz / 2.0)
    step_hz = sampling_rate_hz / samples
    if 0.0 <= low < high <= sampling_rate_hz / 2.0:
        first, last = max(1, round(low / step_hz)), min(round(high / step_hz), samples // 2)
        if last - first >= 4:
            return first, last
    raise ConfigError(
        f"demodulation band {low:g} to {high:g} Hz of {samples} samples at {sampling_rate_hz:g} Hz; it "
        f"must lie within 0 to {sampling_rate_hz / 2.0:g} Hz and be wider than {4 * step_hz:g} Hz."
    )


def squared_envelope(
    x: np.ndarray, sampling_rate_hz: float, band_hz: tuple[float, float] | None = None
) -> tuple[np.ndarray, float]:
    """Return the squared magnitude of the analytic signal of a band, at the lowest rate that holds it.

    The band's spectral lines are moved to zero frequency before going back to time, so the series is
    short when the band is narrow and its frequency step stays ``sampling_rate_hz / samples``.

    Parameters
    ----------
    x : ndarray, shape (..., samples)
    sampling_rate_hz : float
    band_hz : (float, float), optional
        Lower and upper edge; all frequencies above zero by default.

    Returns
    -------
    squared_envelope : ndarray, shape (..., fewer samples)
    rate_hz : float
        Its sampling rate.

    Raises
    ------
    ConfigError
        If the band is not within zero and the Nyquist rate or is narrower than four lines.
    """
    n_samples = x.shape[-1]
    first, last = band_lines(n_samples, sampling_rate_hz, band_hz)
    lines = rfft(x, axis=-1)[..., first:last]
    n_short = fast_length(2 * (last - first))
    # each real component of amplitude a becomes a complex one of amplitude a
    analytic = inverse_fft(lines, n=n_short, axis=-1) * (2.0 * n_short / n_samples)
    return analytic.real**2 + analytic.imag**2, sampling_rate_hz / n_samples * n_short


def envelope_spectrum(
    x: np.ndarray, sampling_rate_hz: float, band_hz: tuple[float, float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the amplitude spectrum of the squared envelope over its mean.

    Parameters
    ----------
    x : ndarray, shape (..., samples)
    sampling_rate_hz : float
    band_hz : (float, float), optional
        Band to demodulate; all frequencies by default.

    Returns
    -------
    frequency_hz : ndarray, shape (lines,)
    amplitude : ndarray, shape (..., lines)
        1.0 is a full modulation (``1 + cos``); independent of the level of ``x``.
    """
    squared, rate_hz = squared_envelope(x, sampling_rate_hz, band_hz)
    return spectrum_of_envelope(squared, rate_hz)


def spectrum_of_envelope(squared: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Return frequency and amplitude of a squared envelope over its mean, seen through a Hann window."""
    n_samples = squared.shape[-1]
    relative = squared / (squared.mean(axis=-1, keepdims=True) + _TINY) - 1.0
    taper = np.hanning(n_samples + 1)[:-1].astype(squared.dtype)
    amplitude = np.abs(rfft(relative * taper, axis=-1)) * (2.0 / taper.sum())
    return np.arange(amplitude.shape[-1]) * (rate_hz / n_samples), amplitude


def fault_line_levels(
    amplitude: np.ndarray,
    step_hz: float,
    rate_hz: np.ndarray,
    *,
    tolerance: float = 0.01,
    surroundings_hz: float = 35.0,
) -> np.ndarray:
    """Return how far spectral lines stand out: natural logarithm of peak over local median.

    Parameters
    ----------
    amplitude : ndarray, shape (windows, spectral lines)
        Envelope spectra from 0 Hz on.
    step_hz : float
        Distance of spectral lines.
    rate_hz : ndarray, shape (windows, rates)
        Where to look.
    tolerance : float
        The peak is sought within this share of the rate and one spectral line (rolling elements slip
        by 1 to 2 %).
    surroundings_hz : float
        The median is taken this far to either side.

    Returns
    -------
    ndarray, shape (windows, rates)
        Zero where the rate is not positive or lies beyond the spectrum.
    """
    n_lines = amplitude.shape[-1]
    half = max(4, round(surroundings_hz / step_hz))
    offsets = np.arange(-half, half + 1)
    centre = np.rint(rate_hz / step_hz).astype(np.int64)
    inside = (rate_hz > 0) & (centre < n_lines - 1)
    place = np.clip(centre[..., None] + offsets, 1, n_lines - 1)
    around = np.take_along_axis(amplitude[:, None, :], place.reshape(len(amplitude), 1, -1), axis=-1)
    around = around.reshape(place.shape)
    reach = 1 + np.floor(tolerance * rate_hz / step_hz)
    near = np.abs(offsets) <= reach[..., None]
    peak = np.where(near, around, 0.0).max(axis=-1)
    level = np.log((peak + _TINY) / (np.median(around, axis=-1) + _TINY))
    return np.where(inside, level, 0.0)
