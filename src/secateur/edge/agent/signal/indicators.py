"""Condition indicators of a burst: RMS, peak, kurtosis, crest factor, bands and fault lines."""

from __future__ import annotations

import numpy as np

from secateur.edge.agent.signal.averaged import Spectrum
from secateur.signals.envelope import fault_line_levels
from secateur.signals.kinematics import FaultOrders

FAULTS = ("bpfo", "bpfi", "bsf2", "ftf")
SHAPES = ("peak", "kurtosis", "crest_factor")
"""Shape of the waveform: impacts show here first, but knocks from elsewhere too, so these alone only warn."""

HARMONICS = 3
LEAST_LINES = 3
"""A rate must lie so many spectral lines above zero to be told from its surroundings."""

_DECIBEL_PER_NEPER = 20.0 / np.log(10.0)


def is_level(name: str) -> bool:
    """Whether an indicator is a positive level, judged by ratios (a line in dB is judged by differences)."""
    return not name.startswith("line_")


def band_edges_hz(lowest_hz: float, sampling_rate_hz: float, bands: int) -> np.ndarray:
    """Return the edges of bands of equal width on a logarithmic axis, float64 (bands + 1,)."""
    return np.geomspace(lowest_hz, sampling_rate_hz / 2, bands + 1)


def band_places(edges_hz: np.ndarray, samples: int, sampling_rate_hz: float) -> np.ndarray:
    """Return the first spectral line of each band, and one past the last, int (bands + 1,)."""
    lines = samples // 2 + 1
    places = np.clip(np.rint(edges_hz * samples / sampling_rate_hz).astype(int), 1, lines - 1)
    places[-1] = lines
    return places


def indicator_names(bands: int, *, lines: bool) -> tuple[str, ...]:
    """Return the names of all indicators of a sensor, those of fault lines if its bearing is known."""
    found = ("rms", *SHAPES, *(f"band_{number}" for number in range(1, bands + 1)))
    return found + tuple(f"line_{name}" for name in FAULTS) if lines else found


def waveform_indicators(
    samples: np.ndarray, sampling_rate_hz: float, edges_hz: np.ndarray
) -> dict[str, float]:
    """Return the indicators of one burst that need no speed.

    Parameters
    ----------
    samples : ndarray of float32, shape (n,)
        Finite and not constant.
    sampling_rate_hz : float
    edges_hz : ndarray, shape (bands + 1,)
        Edges of the bands.

    Returns
    -------
    dict
        ``rms``, ``peak`` and ``band_1`` ... in the unit of the samples; ``kurtosis`` (3 for Gaussian noise)
        and ``crest_factor`` without unit. The levels of the bands add up, as squares, to that of the burst
        between the outer edges.
    """
    x = samples.astype(np.float64)
    x -= x.mean()
    square = x * x
    power = float(square.mean())
    rms = power**0.5
    peak = float(np.abs(x).max())
    found = {
        "rms": rms,
        "peak": peak,
        "kurtosis": float(np.dot(square, square)) / len(x) / power**2,
        "crest_factor": peak / rms,
    }
    spectrum = np.fft.rfft(x)
    line_power = spectrum.real**2 + spectrum.imag**2
    line_power *= 2.0 / len(x) ** 2
    if len(x) % 2 == 0:
        line_power[-1] /= 2.0
    places = band_places(edges_hz, len(x), sampling_rate_hz)
    summed = np.concatenate([[0.0], np.cumsum(line_power)])
    levels = np.sqrt(np.maximum(np.diff(summed[places]), 0.0))
    return found | {f"band_{number}": float(level) for number, level in enumerate(levels, start=1)}


def line_indicators(spectrum: Spectrum, orders: FaultOrders) -> dict[str, float]:
    """Return how far each fault's lines stand out of the averaged envelope spectrum.

    Parameters
    ----------
    spectrum : Spectrum
        In orders of the shaft.
    orders : FaultOrders

    Returns
    -------
    dict
        ``line_bpfo``, ...: mean over the first harmonics of the peak over the local median, in dB. A fault
        whose rate the bursts are too short to resolve is left out.
    """
    found = {}
    rates = orders.as_array().astype(np.float64)
    last = (len(spectrum.amplitude) - 2) * spectrum.step
    for name, rate in zip(FAULTS, rates, strict=True):
        harmonics = rate * np.arange(1, HARMONICS + 1)
        harmonics = harmonics[harmonics < last]
        if rate < LEAST_LINES * spectrum.step or len(harmonics) == 0:
            continue
        levels = fault_line_levels(
            spectrum.amplitude[None],
            spectrum.step,
            harmonics[None],
            surroundings_hz=max(0.8 * min(rate, 2.0), 6 * spectrum.step),
        )
        found[f"line_{name}"] = float(levels.mean() * _DECIBEL_PER_NEPER)
    return found
