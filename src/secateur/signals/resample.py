"""A common sampling rate: polyphase resampling, of a whole series or piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from secateur.core.errors import DataError
from secateur.signals.polyphase import kaiser_low_pass, up_filter_down
from secateur.signals.recording import ArraySource, WaveformSource

# Kaiser-windowed low pass: 80 dB of stop band from the lower of the two Nyquist rates on, flat up to
# 0.84 of it.
_HALF_LENGTH = 32
_KAISER_BETA = 7.9
_CUTOFF = 0.92
_LARGEST_FACTOR = 20_000
_EXACT, _CLOCK = 1e-9, 5e-5
"""A plain quartz keeps its rate to the second share, so a ratio that close will do where none is exact."""


def rate_ratio(from_hz: float, to_hz: float) -> tuple[int, int]:
    """Return the whole numbers (up, down) with ``to_hz = from_hz * up / down``, exactly or to 50 ppm.

    Raises
    ------
    DataError
        If there are none up to 20,000.
    """
    if not (from_hz > 0 and to_hz > 0):
        raise DataError(f"resampling from {from_hz} Hz to {to_hz} Hz; both rates must be positive.")
    wanted = Fraction(to_hz) / Fraction(from_hz)
    few = _LARGEST_FACTOR // 10
    for largest, error in ((_LARGEST_FACTOR, _EXACT), (few, _CLOCK), (_LARGEST_FACTOR, _CLOCK)):
        ratio = wanted.limit_denominator(largest)
        if ratio.numerator <= _LARGEST_FACTOR and abs(ratio - wanted) <= error * wanted:
            return ratio.numerator, ratio.denominator
    raise DataError(
        f"resampling from {from_hz} Hz to {to_hz} Hz; the rates must stand in a ratio of whole numbers "
        f"up to {_LARGEST_FACTOR}. Choose another target rate."
    )


@lru_cache(maxsize=32)
def _low_pass(up: int, down: int) -> tuple[np.ndarray, int]:
    """Return the filter and its delay in output samples, led by zeros so that the delay is a whole one."""
    widest = max(up, down)
    taps = up * kaiser_low_pass(2 * _HALF_LENGTH * widest + 1, _CUTOFF / widest, _KAISER_BETA)
    delay = -(-_HALF_LENGTH * widest // down)
    lead = delay * down - _HALF_LENGTH * widest
    taps = np.concatenate([np.zeros(lead), taps])
    # each phase passes a constant as it is: a sensor's bias would leave a tone of its small differences
    gains = np.array([taps[phase::up].sum() for phase in range(up)])
    return (taps / gains[np.arange(len(taps)) % up]).astype(np.float32), delay


@dataclass(frozen=True)
class ResampledReader:
    """A waveform source at another rate, computed where it is read, so that memory stays bounded.

    Output sample k stands at the time of input sample ``k * down / up``. Beyond its two ends the
    waveform is continued by its first and last value.

    Parameters
    ----------
    source : WaveformSource
        Samples at ``from_hz``.
    from_hz, to_hz : float
        Sampling rates.
    """

    source: WaveformSource
    from_hz: float
    to_hz: float

    @property
    def factors(self) -> tuple[int, int]:
        """The whole numbers (up, down)."""
        return rate_ratio(self.from_hz, self.to_hz)

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self.source.n_channels

    @property
    def n_samples(self) -> int:
        """Samples per channel after resampling."""
        up, down = self.factors
        return -(-self.source.n_samples * up // down)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return output samples ``start`` to ``stop`` as float32 (channels, stop - start)."""
        up, down = self.factors
        if up == down:
            return self.source.read(start, stop)
        margin = -(-_HALF_LENGTH * max(up, down) // up) + 1
        first_block = (start * down // up - margin) // down  # aligned, so that the phases agree
        first = first_block * down
        last = -(-stop * down // up) + margin
        n_samples = self.source.n_samples
        samples = self.source.read(max(first, 0), min(last, n_samples))
        samples = np.pad(samples, ((0, 0), (max(-first, 0), max(last - n_samples, 0))), mode="edge")
        taps, delay = _low_pass(up, down)
        offset = start - first_block * up + delay
        return up_filter_down(taps, samples, up, down, offset + stop - start)[:, offset:]


def resample(x: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Resample along the last axis with an anti-aliasing polyphase filter.

    Parameters
    ----------
    x : ndarray, shape (..., samples)
    from_hz, to_hz : float
        Sampling rates before and after.

    Returns
    -------
    ndarray of float32, shape (..., ceil(samples * to_hz / from_hz))
    """
    x = np.asarray(x, dtype=np.float32)
    reader = ResampledReader(ArraySource(x.reshape(-1, x.shape[-1])), from_hz, to_hz)
    return reader.read(0, reader.n_samples).reshape(*x.shape[:-1], reader.n_samples)
