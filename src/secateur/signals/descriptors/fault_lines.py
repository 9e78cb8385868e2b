"""Compact fault lines: how clearly a window's envelope repeats at the rates of the bearing.

Lines carry over to another specimen, and partly to another machine, where spectra and raw samples
memorise the resonances of a rig.
"""

from __future__ import annotations

import numpy as np

from secateur.signals.envelope import fault_line_levels, prewhiten, spectrum_of_envelope, squared_envelope
from secateur.signals.lines import FAMILIES

# Edges of the demodulation bands over the sampling rate; 500 to 1440, ... 3840 to 4920 Hz at 12 kHz.
BANDS = ((0.042, 0.12), (0.12, 0.22), (0.22, 0.32), (0.32, 0.41))
WHITENED_BAND = (0.042, 0.41)
HARMONICS = 3
SIDEBANDS = ("bpfi_side", "bsf2_side")
COMPACT_FAULT_LINE_NAMES = (
    *(f"{family}_{over}" for over in ("max", "mean") for family in (*FAMILIES, *SIDEBANDS)),
    "kurtosis_max",
    "kurtosis_mean",
    "kurtosis_whitened",
)


def line_rates_hz(shaft_rate_hz: np.ndarray, fault_orders: np.ndarray) -> np.ndarray:
    """Return the rates of the harmonics of every family.

    Parameters
    ----------
    shaft_rate_hz : ndarray, shape (windows,)
    fault_orders : ndarray, shape (windows, 4)

    Returns
    -------
    ndarray, shape (windows, families, harmonics)
    """
    orders = np.concatenate([fault_orders, np.ones((len(fault_orders), 1))], axis=1)
    harmonics = np.arange(1, HARMONICS + 1)
    return np.asarray(shaft_rate_hz)[:, None, None] * orders[:, :, None] * harmonics


def sideband_rates_hz(shaft_rate_hz: np.ndarray, fault_orders: np.ndarray) -> np.ndarray:
    """Return where load-zone modulation shows: BPFI -+ shaft rate and twice BSF -+ cage rate.

    Returns
    -------
    ndarray, shape (windows, 2, 2)
        Zero where the fault orders are unknown.
    """
    _, bpfi, bsf2, ftf = np.asarray(fault_orders, dtype=np.float64).T
    inner = np.stack([bpfi - 1.0, bpfi + 1.0], axis=-1)
    ball = np.stack([bsf2 - ftf, bsf2 + ftf], axis=-1)
    orders = np.stack([inner, ball], axis=1)
    known = (bpfi > 0.0)[:, None, None]
    return np.where(known, np.asarray(shaft_rate_hz)[:, None, None] * orders, 0.0)


def compact_fault_lines(
    windows: np.ndarray, sampling_rate_hz: float, shaft_rate_hz: np.ndarray, fault_orders: np.ndarray
) -> np.ndarray:
    """Return levels of fault lines over the local median of the envelope spectrum, few numbers a window.

    Each window is demodulated in several bands and once whole after cepstrum prewhitening. The levels of
    a family's harmonics are averaged; of the bands the largest and the mean are kept. The logarithm of
    the kurtosis-like ratio ``mean(e^2) / mean(e)^2`` of the squared envelope e goes with them.

    Parameters
    ----------
    windows : ndarray, shape (windows, samples)
    sampling_rate_hz : float
    shaft_rate_hz : ndarray, shape (windows,)
        0.0 where it is unknown: all levels of that window are then zero.
    fault_orders : ndarray, shape (windows, 4)
        BPFO, BPFI, twice BSF, FTF; zeros where unknown.

    Returns
    -------
    ndarray of float32, shape (windows, 17)
        In the order of :data:`COMPACT_FAULT_LINE_NAMES`.
    """
    n_windows = len(windows)
    rates = np.concatenate(
        [
            line_rates_hz(shaft_rate_hz, fault_orders).reshape(n_windows, -1),
            sideband_rates_hz(shaft_rate_hz, fault_orders).reshape(n_windows, -1),
        ],
        axis=1,
    )
    levels, kurtoses = [], []
    views = [(windows, band) for band in BANDS] + [(prewhiten(windows), WHITENED_BAND)]
    for series, (low, high) in views:
        band_hz = (low * sampling_rate_hz, high * sampling_rate_hz)
        squared, rate_hz = squared_envelope(series, sampling_rate_hz, band_hz)
        frequency_hz, amplitude = spectrum_of_envelope(squared, rate_hz)
        levels.append(_by_family(fault_line_levels(amplitude, frequency_hz[1], rates)))
        kurtoses.append(np.log(np.mean(squared**2, axis=-1) / np.mean(squared, axis=-1) ** 2))
    level, kurtosis = np.stack(levels, axis=1), np.stack(kurtoses, axis=1)
    features = [
        level.max(axis=1),
        level.mean(axis=1),
        kurtosis.max(axis=1, keepdims=True),
        kurtosis.mean(axis=1, keepdims=True),
        kurtosis[:, -1:],
    ]
    return np.concatenate(features, axis=1).astype(np.float32)


def _by_family(levels: np.ndarray) -> np.ndarray:
    n_harmonics = len(FAMILIES) * HARMONICS
    harmonics = levels[:, :n_harmonics].reshape(len(levels), len(FAMILIES), HARMONICS)
    sidebands = levels[:, n_harmonics:].reshape(len(levels), len(SIDEBANDS), 2)
    return np.concatenate([harmonics.mean(axis=-1), sidebands.mean(axis=-1)], axis=1)
