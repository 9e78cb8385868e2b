"""Windows of a live or stored waveform, as the model wants them, and whether each can be used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from secateur.bundle.manifest import Manifest
from secateur.core.errors import ConfigError, DataError
from secateur.signals.recording import WaveformSource
from secateur.signals.resample import ResampledReader

Usability = Literal["usable", "not finite", "flat"]

_FLAT = 1e-6
"""Deviation over magnitude below which a window does not move: rounding of a constant leaves about 1e-7."""


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
    if not sampling_rate_hz >= rule.lowest_hz:
        raise DataError(
            f"the waveform has {sampling_rate_hz:g} Hz; this bundle takes {wanted:g} Hz and resamples from "
            f"{rule.lowest_hz:g} Hz upwards only, since slower recordings lack what the model listens to."
        )
    return ResampledReader(source, sampling_rate_hz, wanted)


def cut_windows(
    source: WaveformSource, *, length: int, hop: int, channel: int, batch: int
) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[Usability, ...]]]:
    """Cut windows out of a waveform that is read piece by piece.

    Parameters
    ----------
    source : WaveformSource
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
        If there is no such channel, or not one whole window.
    """
    if hop < 1:
        raise ConfigError(f"a hop of {hop} samples between windows; give at least 1.")
    if not 0 <= channel < source.n_channels:
        raise DataError(
            f"channel {channel} was asked for; the waveform has the channels 0 to {source.n_channels - 1}."
        )
    count = (source.n_samples - length) // hop + 1
    if count < 1:
        raise DataError(
            f"the waveform has {source.n_samples} samples at the model's rate; one window needs {length}."
        )
    for first in range(0, count, batch):
        starts = hop * np.arange(first, min(first + batch, count), dtype=np.int64)
        piece = source.read(int(starts[0]), int(starts[-1]) + length)[channel]
        windows = np.lib.stride_tricks.sliding_window_view(piece, length)[::hop]
        yield starts, windows, usability_of(windows)


def usability_of(windows: np.ndarray) -> tuple[Usability, ...]:
    """Say of each window whether it can be used.

    Parameters
    ----------
    windows : ndarray of float32, shape (n, length)
    """
    lowest, highest = windows.min(axis=1), windows.max(axis=1)
    finite = np.isfinite(lowest) & np.isfinite(highest)
    with np.errstate(invalid="ignore"):
        flat = highest - lowest <= _FLAT * np.maximum(np.abs(lowest), np.abs(highest))
    return tuple(
        "not finite" if not sound else "flat" if still else "usable"
        for sound, still in zip(finite, flat, strict=True)
    )
