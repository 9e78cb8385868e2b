"""Signals that come from no bearing, which a diagnoser must refuse: noise, hum, tones, sweeps, clicks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def stranger_waveforms(
    rng: np.random.Generator, count: int, length: int, sampling_rate_hz: float
) -> np.ndarray:
    """Return signals of random kinds, float32 (count, length)."""
    time_s = np.arange(length) / sampling_rate_hz
    names = rng.choice(list(STRANGERS), count)
    waveforms = np.zeros((count, length), dtype=np.float32)
    for row, name in enumerate(names):
        signal = STRANGERS[name](rng, time_s)
        floor = 10.0 ** rng.uniform(-4.0, -1.0)
        signal = (signal - signal.mean()) / (signal.std() + 1e-9)
        waveforms[row] = signal + floor * rng.standard_normal(length)
    return waveforms


def _white(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    return rng.standard_normal(len(time_s))


def _coloured(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    spectrum = np.fft.rfft(rng.standard_normal(len(time_s)))
    slope = np.maximum(np.arange(len(spectrum)), 8.0) ** -rng.uniform(-1.0, 1.5)
    return np.fft.irfft(spectrum * slope, len(time_s))


def _hum(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    mains_hz = rng.choice([50.0, 60.0]) * (1.0 + 0.002 * rng.standard_normal())
    total = np.zeros(len(time_s))
    for harmonic in range(1, rng.integers(2, 12)):
        total += (
            rng.exponential()
            / harmonic
            * np.cos(2 * np.pi * harmonic * mains_hz * time_s + rng.uniform(0, 6.28))
        )
    return total


def _tones(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    highest_hz = 0.45 / (time_s[1] - time_s[0])
    total = np.zeros(len(time_s))
    for _ in range(rng.integers(1, 6)):
        frequency_hz = np.exp(rng.uniform(np.log(5.0), np.log(highest_hz)))
        total += rng.exponential() * np.cos(2 * np.pi * frequency_hz * time_s + rng.uniform(0, 6.28))
    return total


def _chirp(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    highest_hz = 0.45 / (time_s[1] - time_s[0])
    first_hz, last_hz = np.exp(rng.uniform(np.log(5.0), np.log(highest_hz), 2))
    return np.cos(2 * np.pi * (first_hz + 0.5 * (last_hz - first_hz) * time_s / time_s[-1]) * time_s)


def _steps(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    borders = np.sort(rng.uniform(0.0, time_s[-1], rng.integers(1, 12)))
    return rng.standard_normal(len(borders) + 1)[np.searchsorted(borders, time_s)]


def _square(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    return np.sign(np.cos(2 * np.pi * np.exp(rng.uniform(0.0, 7.0)) * time_s + rng.uniform(0, 6.28)))


def _modulated(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    carrier = np.cos(2 * np.pi * rng.uniform(200.0, 0.4 / (time_s[1] - time_s[0])) * time_s)
    return (1.0 + rng.random() * np.cos(2 * np.pi * rng.uniform(1.0, 200.0) * time_s)) * carrier


def _clicks(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    total = np.zeros(len(time_s))
    places = rng.integers(0, len(time_s), rng.integers(1, 40))
    total[places] = rng.standard_normal(len(places))
    return total


def _drift(rng: np.random.Generator, time_s: np.ndarray) -> np.ndarray:
    return np.cumsum(rng.standard_normal(len(time_s)))


STRANGERS: dict[str, Draw] = {
    "white noise": _white,
    "coloured noise": _coloured,
    "hum": _hum,
    "tones": _tones,
    "chirp": _chirp,
    "steps": _steps,
    "square wave": _square,
    "modulated tone": _modulated,
    "clicks": _clicks,
    "drift": _drift,
}
"""Kinds of signals by name."""
