"""What no turning machine gives: noise without a line in its spectrum, and tones without noise between them.

A sensor that has come off, a broken cable and a channel that nothing is connected to give noise of some
colour; a calibrator and a signal generator give tones. A model may take either for a healthy machine; the
spectrum tells them apart. NumPy alone, so a device can compute it.
"""

from __future__ import annotations

import math

import numpy as np

from secateur.signals.evidence import BANDS
from secateur.signals.recording import WaveformSource

SEGMENTS = (1024, 4096, 16_384, 65_536)
"""Samples of a segment. Long ones show steady and slow lines, short ones those of a speed that changes."""

LEAST_SAMPLES = 16_384
"""Fewer do not suffice: in 4,096 samples the lines of one machine in twenty hide."""

MOST_SAMPLES = 1 << 18

NOISE_REACHES = 6.0
"""Noise reaches less than this; recordings of three rigs have 170 and more, single windows of them 60."""

LEAST_NOISE = 1e-4
"""Share of the power that is no line: a fifth at least in the three rigs, a millionth in tones."""

BAND = BANDS[-1]
"""In which noise is sought: the widest that is demodulated. Below it the shaft's lines may outdo all else."""

NO_LINE = (
    "no line stands out of its spectrum, as every machine at a steady speed raises some: noise alone; check "
    "sensor and cable"
)
NO_NOISE = (
    "its spectrum is nothing but lines, without the noise of a machine between them; check what the sensor "
    "is on"
)

_AROUND, _SPARSE = 50, 8
_FIRST = 12
"""Points on either side of which the median is taken, the distance of the points where it is, and the first
point that is looked at."""


def why_no_machine(waveform: np.ndarray) -> str:
    """Say what a waveform lacks of a turning machine; nothing if it lacks nothing or is too short to tell.

    Parameters
    ----------
    waveform : ndarray, shape (samples,)
        Of one channel; see :func:`first_samples`. Segments that are not finite are passed over.
    """
    if len(waveform) < LEAST_SAMPLES:
        return ""
    if clearest_line(waveform) < NOISE_REACHES:
        return NO_LINE
    return NO_NOISE if noise_share(waveform) < LEAST_NOISE else ""


def first_samples(source: WaveformSource, channel: int) -> np.ndarray:
    """Return the samples of one channel that are looked at."""
    return source.read(0, min(source.n_samples, MOST_SAMPLES))[channel]


def clearest_line(waveform: np.ndarray) -> float:
    """Return how clearly the clearest line stands out: minus the logarithm (base 10) of what noise has there.

    The power of segments that lie side by side is averaged and taken over its local median. For noise of any
    smooth colour it follows a gamma distribution; the chance of its highest point is multiplied by the number
    of points. The twelve lowest points and the fifty highest have too few beside them and are left out.

    Parameters
    ----------
    waveform : ndarray, shape (samples,)
        At least 1,024 samples.
    """
    found = []
    for length in SEGMENTS:
        power, averaged = _power(waveform, length)
        inner, median = _inner(power)
        if averaged and (median > 0).all():
            found.append(-_log10_chance(float((inner / median).max()), averaged) - math.log10(len(inner)))
    return max(found, default=0.0)


def noise_share(waveform: np.ndarray) -> float:
    """Return the share of the power within :data:`BAND` that no line has.

    A point has as much of it as ten times the local median, at most.

    Parameters
    ----------
    waveform : ndarray, shape (samples,)
        At least 4,096 samples.
    """
    length = SEGMENTS[1]
    power, averaged = _power(waveform, length)
    inner, median = _inner(power[round(BAND[0] * length) : round(BAND[1] * length)])
    total = float(inner.sum())
    return float(np.minimum(inner, 10.0 * median).sum()) / total if averaged and total > 0 else 1.0


def _power(waveform: np.ndarray, length: int) -> tuple[np.ndarray, int]:
    """Return the mean power spectrum of the finite segments, and how many they are."""
    segments = np.asarray(waveform[: len(waveform) // length * length], dtype=np.float64).reshape(-1, length)
    segments = segments[np.isfinite(segments).all(axis=1)]
    segments = (segments - segments.mean(axis=1, keepdims=True)) * np.hanning(length)
    spectra = np.fft.rfft(segments, axis=1)
    return (spectra.real**2 + spectra.imag**2).sum(axis=0) / max(len(segments), 1), len(segments)


def _inner(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the points that have enough beside them, and the local median at each.

    Below the fiftieth the median is taken as far as the second, on either side alike: of a spectrum that
    falls it is the value in the middle, however steep it is.
    """
    low = [np.median(power[2 : 2 * point - 1]) for point in range(_FIRST, _AROUND)]
    around = np.lib.stride_tricks.sliding_window_view(power, 2 * _AROUND + 1)[::_SPARSE]
    places = np.arange(len(power) - 2 * _AROUND)
    rest = np.interp(places, places[::_SPARSE], np.median(around, axis=1))
    return power[_FIRST:-_AROUND], np.concatenate([low, rest])


def _log10_chance(level: float, averaged: int) -> float:
    """Return how often the mean of so many exponential variables lies above ``level`` times its median."""
    x = level * (averaged - 1 / 3 + 0.02 / averaged)
    counts = np.arange(averaged)
    logs = counts * math.log(max(x, 1e-300)) - np.cumsum(np.log(np.maximum(counts, 1)))
    return float((np.log(np.exp(logs - logs.max()).sum()) + logs.max() - x) / math.log(10.0))
