"""What a sensor and its recorder make of a vibration: filters, noise floor, steps, clipping, gaps."""

from __future__ import annotations

import numpy as np


def through_sensor(rng: np.random.Generator, waveform: np.ndarray, sampling_rate_hz: float) -> np.ndarray:
    """Return waveforms of unit RMS as they are recorded, float32 (n, samples).

    Most sensors are sound; some roll off early, some ring, some clip, some have few steps or lose samples.
    """
    count, length = waveform.shape
    frequency_hz = np.fft.rfftfreq(length, 1.0 / sampling_rate_hz)
    nyquist_hz = frequency_hz[-1]
    spectrum = np.fft.rfft(waveform)
    high_hz = np.where(rng.random((count, 1)) < 0.6, rng.uniform(0.35, 1.0, (count, 1)), 4.0) * nyquist_hz
    low_hz = np.where(rng.random((count, 1)) < 0.6, np.exp(rng.uniform(0.0, 5.0, (count, 1))), 0.0)
    order = rng.integers(1, 5, (count, 1))
    spectrum *= 1.0 / np.sqrt(1.0 + (frequency_hz / high_hz) ** (4 * order))
    spectrum *= 1.0 / np.sqrt(1.0 + (low_hz / np.maximum(frequency_hz, 1e-3)) ** 4)
    recorded = np.fft.irfft(spectrum, length)
    recorded /= np.sqrt(np.mean(np.square(recorded), axis=1, keepdims=True)) + 1e-9
    floor = 10.0 ** (rng.uniform(-60.0, -12.0, (count, 1)) / 20.0)
    recorded += floor * rng.standard_normal((count, length), dtype=np.float32)
    clips = np.where(rng.random((count, 1)) < 0.05, rng.uniform(1.5, 4.0, (count, 1)), 1e6)
    recorded = np.clip(recorded, -clips, clips)
    step = 10.0 ** rng.uniform(-5.0, -0.8, (count, 1))
    recorded = np.round(recorded / step) * step
    for row in np.flatnonzero(rng.random(count) < 0.02):
        start = rng.integers(0, length - 400)
        recorded[row, start : start + rng.integers(20, 400)] = 0.0
    return recorded.astype(np.float32)
