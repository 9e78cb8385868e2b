"""Windows of a live or stored waveform, as the model wants them, and whether each can be used."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from secateur.bundle.manifest import Manifest
from secateur.core.errors import ConfigError, DataError
from secateur.signals.recording import WaveformSource
from secateur.signals.resample import ResampledReader
from secateur.signals.short_windows import filled, least_samples

Usability = Literal[
    "usable", "not finite", "flat", "out of range", "stuck", "clipped", "one spike", "output not finite"
]
REASONS: Mapping[Usability, str] = {
    "not finite": "it holds NaN or infinite samples",
    "flat": "its samples are all equal",
    "out of range": "its largest sample is beyond what a sensor gives in any unit",
    "stuck": "its samples take a few values only",
    "clipped": "the sensor or the converter was at its limit",
    "one spike": "one sample outweighs all others",
    "output not finite": "the model gives no finite numbers for it",
}
"""Why a window is not used, in words."""

_NEARLY = 0.995
"""Rates are stated with three digits: a recorder of 12 kHz may run at 11.99."""

_FLAT = 1e-6
"""Deviation over magnitude below which a window does not move: rounding of a constant leaves about 1e-7."""

_PEAKS = (1e-12, 1e12)
"""Of the largest sample in any unit: squares stay in the range of float32 by far."""

_SPIKE_SHARE = 0.5
"""Of a window's energy in one sample; the most in 14,904 windows of real recordings is 0.17."""

_FEW_VALUES = 8
"""A stuck sensor alternates between a few; real recordings take at least 869 in 4,096 samples."""

_CLIPPED_SHARE, _CLIPPED_OVER_NEXT = 0.01, 3
"""Samples at the very largest or smallest value, and how many times as many as at the value next to it."""


def least_duration_s(manifest: Manifest) -> float:
    """Return how long a waveform must last at least; up to a window, its end is mirrored."""
    return least_samples(manifest.window_length) / manifest.sampling_rate_hz


def source_at_model_rate(
    source: WaveformSource, sampling_rate_hz: float, manifest: Manifest
) -> WaveformSource:
    """Return the waveform at the model's rate.

    Raises
    ------
    DataError
        If the rates differ and the manifest does not allow to resample from this one.
    """
    wanted = manifest.sampling_rate_hz
    if sampling_rate_hz == wanted:
        return source
    rule = manifest.resampling
    if rule is None or not rule.allowed:
        raise DataError(
            f"the waveform has {sampling_rate_hz:g} Hz, but this bundle takes {wanted:g} Hz and does not "
            "allow resampling; record at its rate."
        )
    if not sampling_rate_hz >= _NEARLY * rule.lowest_hz:
        raise DataError(
            f"the waveform has {sampling_rate_hz:g} Hz; this bundle takes {wanted:g} Hz and resamples from "
            f"{rule.lowest_hz:g} Hz upwards only, since slower recordings lack what the model listens to."
        )
    return ResampledReader(source, sampling_rate_hz, wanted)


def cut_windows(
    source: WaveformSource, *, rate_hz: float, length: int, hop: int, channel: int, batch: int
) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[Usability, ...]]]:
    """Cut windows out of a waveform that is read piece by piece.

    Of a waveform that is a little too short for a window, the end is mirrored to fill one.

    Parameters
    ----------
    source : WaveformSource
    rate_hz : float
        Its rate, for the message.
    length, hop : int
        Samples of a window, and from one window's start to the next.
    channel : int
        Number of the channel.
    batch : int
        Windows at a time.

    Yields
    ------
    starts : ndarray of int64, shape (n,)
        First sample of each window.
    windows : ndarray of float32, shape (n, length)
    usability : tuple of Usability

    Raises
    ------
    ConfigError
        If the hop is not positive.
    DataError
        If there is no such channel, or it has fewer samples than
        :func:`~secateur.signals.short_windows.least_samples`.
    """
    if hop < 1:
        raise ConfigError(f"a hop of {hop} samples between windows; give at least 1.")
    if not 0 <= channel < source.n_channels:
        raise DataError(
            f"channel {channel} was asked for; the waveform has the channels 0 to {source.n_channels - 1}."
        )
    count = (source.n_samples - length) // hop + 1
    if count < 1:
        windows = _mirrored(source, rate_hz=rate_hz, length=length, channel=channel)[None]
        yield np.zeros(1, dtype=np.int64), windows, usability_of(windows)
    for first in range(0, count, batch):
        starts = hop * np.arange(first, min(first + batch, count), dtype=np.int64)
        piece = source.read(int(starts[0]), int(starts[-1]) + length)[channel]
        windows = np.lib.stride_tricks.sliding_window_view(piece, length)[::hop]
        yield starts, windows, usability_of(windows)


def _mirrored(source: WaveformSource, *, rate_hz: float, length: int, channel: int) -> np.ndarray:
    """Return one window of a waveform that is too short for it."""
    least = least_samples(length)
    if source.n_samples < least:
        raise DataError(
            f"the waveform lasts {source.n_samples / rate_hz:.3g} s, {source.n_samples} samples at the "
            f"model's {rate_hz:g} Hz; one window needs {length} ({length / rate_hz:.3g} s), and {least} of "
            f"them ({least / rate_hz:.3g} s) must be there."
        )
    return filled(source.read(0, source.n_samples)[channel], length)


def usability_of(windows: np.ndarray) -> tuple[Usability, ...]:
    """Say of each window whether it can be used.

    Parameters
    ----------
    windows : ndarray of float32, shape (n, length)
    """
    return tuple(map(_usability, windows))


def _usability(window: np.ndarray) -> Usability:
    lowest, highest = float(window.min()), float(window.max())
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        return "not finite"
    peak = max(abs(lowest), abs(highest))
    if highest - lowest <= _FLAT * peak:
        return "flat"
    if not _PEAKS[0] <= peak <= _PEAKS[1]:
        return "out of range"
    if _takes_few_values(window):
        return "stuck"
    if _at_its_limit(window, highest) or _at_its_limit(-window, -lowest):
        return "clipped"
    energy = np.square(window - window.mean(dtype=np.float64), dtype=np.float64)
    return "one spike" if energy.max() > _SPIKE_SHARE * energy.sum() else "usable"


def _takes_few_values(window: np.ndarray) -> bool:
    excerpt = window[: 16 * _FEW_VALUES]
    return len(np.unique(excerpt)) <= _FEW_VALUES and len(np.unique(window)) <= _FEW_VALUES


def _at_its_limit(window: np.ndarray, highest: float) -> bool:
    below = window[window < highest]
    count = len(window) - len(below)
    if count < max(2.0, _CLIPPED_SHARE * len(window)):
        return False
    return count > _CLIPPED_OVER_NEXT * int((below == below.max()).sum())
