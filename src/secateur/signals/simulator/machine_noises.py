"""What healthy machines sound like: noise that breathes with the shaft, tones, mains, gears, knocks."""

from __future__ import annotations

import numpy as np

from secateur.signals.simulator.machines import draw_colours, draw_structures

SHAFT_HARMONICS = 10
MAINS_HARMONICS = 8
FREE_TONES = 5


def complex_noise(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return the spectrum of white noise, complex64."""
    parts = rng.standard_normal((2, *shape), dtype=np.float32)
    return parts[0] + 1j * parts[1]


def unit(x: np.ndarray) -> np.ndarray:
    """Scale rows to unit root mean square; rows without power stay zero."""
    rms = np.sqrt(np.mean(np.square(x), axis=-1, keepdims=True))
    return x / np.where(rms > 0, rms, 1.0)


def sometimes(
    rng: np.random.Generator, count: int, share: float, low_db: float, high_db: float
) -> np.ndarray:
    """Return amplitudes (count, 1): zero but for a share, then drawn in decibels."""
    amplitude = 10.0 ** (rng.uniform(low_db, high_db, (count, 1)) / 20.0)
    return (np.where(rng.random((count, 1)) < share, amplitude, 0.0)).astype(np.float32)


def background(
    rng: np.random.Generator, shaft_hz: np.ndarray, time_s: np.ndarray, frequency_hz: np.ndarray
) -> np.ndarray:
    """Return noise of unit RMS: a steady part, and one that the machine modulates.

    Flow, friction and magnetic forces rise and fall with the shaft, its multiples (blades, poles) and
    twice the mains: healthy machines have lines in their envelope spectra too.
    """
    count = len(shaft_hz)
    shape = (count, len(frequency_hz))
    steady = draw_colours(rng, count, frequency_hz) * complex_noise(rng, shape)
    through = draw_structures(rng, count, frequency_hz)
    ringing = through * complex_noise(rng, shape)
    ringing /= np.sqrt(np.mean(np.abs(through) ** 2, axis=1, keepdims=True))
    steady /= np.sqrt(np.mean(np.abs(steady) ** 2, axis=1, keepdims=True))
    share = rng.uniform(0.0, 1.0, (count, 1)).astype(np.float32)
    moved = unit(np.fft.irfft(ringing, len(time_s)))
    steady = unit(np.fft.irfft(steady, len(time_s)))
    return unit(np.sqrt(1 - share) * steady + np.sqrt(share) * moved * _breath(rng, shaft_hz, time_s))


def _breath(rng: np.random.Generator, shaft_hz: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """Amplitude of modulated noise over time, about 1."""
    count = len(shaft_hz)
    total = np.ones((count, len(time_s)), dtype=np.float32)
    mains_hz = rng.choice([100.0, 120.0], count)
    blades = rng.integers(2, 13, count)
    foreign = rng.uniform(0.2, 12.0, count)
    for rate_hz, likely, deepest in (
        (shaft_hz, 0.7, 0.8),
        (2.0 * shaft_hz, 0.5, 0.5),
        (3.0 * shaft_hz, 0.3, 0.3),
        (4.0 * shaft_hz, 0.3, 0.4),
        (blades * shaft_hz, 0.35, 0.6),
        (2 * blades * shaft_hz, 0.2, 0.3),
        (mains_hz, 0.25, 0.4),
        (foreign * shaft_hz, 0.15, 0.2),
        (rng.uniform(0.5, 6.0, count), 0.4, 0.4),
    ):
        depth = np.where(rng.random(count) < likely, deepest * rng.random(count) ** 2, 0.0)
        phase = rng.uniform(0.0, 2.0 * np.pi, count)
        rows = np.flatnonzero(depth)
        total[rows] += _cosine(rate_hz[rows], phase[rows], time_s) * depth[rows, None].astype(np.float32)
    return np.maximum(total, 0.05)


def _cosine(rate_hz: np.ndarray, phase: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    return np.cos((2.0 * np.pi * rate_hz[:, None] * time_s + phase[:, None]).astype(np.float32))


def _add_harmonics(
    rng: np.random.Generator, total: np.ndarray, rate_hz: np.ndarray, level: np.ndarray, harmonics: int
) -> np.ndarray:
    """Add multiples of a rate where its level is not zero, up to 25 dB apart; ``total`` is changed."""
    rows = np.flatnonzero(level[:, 0] > 0)
    turn = 2.0 * np.pi * rate_hz[rows, None] * np.arange(total.shape[1]) + rng.uniform(
        0, 6.28, (len(rows), 1)
    )
    cycle = np.exp(1j * turn.astype(np.float32))
    weight = level[rows] * 10.0 ** (rng.uniform(-25.0, 0.0, (len(rows), harmonics)) / 20.0)
    weight = (weight * np.exp(2j * np.pi * rng.random(weight.shape))).astype(np.complex64)
    # Horner's rule: (...(w_n z + w_(n-1)) z + ... + w_1) z
    summed = np.zeros_like(cycle)
    for harmonic in reversed(range(harmonics)):
        summed += weight[:, harmonic, None]
        summed *= cycle
    total[rows] += summed.real
    return total


def machine_tones(
    rng: np.random.Generator, shaft_hz: np.ndarray, time_s: np.ndarray, highest_hz: float
) -> np.ndarray:
    """Return shaft multiples, gear mesh with sidebands, mains and free tones, over noise of unit RMS."""
    count = len(shaft_hz)
    step_s = time_s[1] - time_s[0]
    total = np.zeros((count, len(time_s)), dtype=np.float32)
    level = sometimes(rng, count, 0.7, -30.0, 6.0)
    _add_harmonics(rng, total, shaft_hz * step_s, level, SHAFT_HARMONICS)
    mains_hz = np.where(rng.random(count) < 0.5, 50.0, 60.0) * (1.0 + 0.002 * rng.standard_normal(count))
    level = sometimes(rng, count, 0.35, -30.0, 3.0)
    _add_harmonics(rng, total, mains_hz * step_s, level, MAINS_HARMONICS)

    teeth = rng.integers(11, 90, count)
    mesh_hz = np.minimum(teeth * shaft_hz, 0.9 * highest_hz)
    depth = sometimes(rng, count, 0.7, -20.0, 0.0)
    for harmonic in (1, 2):
        loud = sometimes(rng, count, 0.3, -25.0, 3.0)
        rows = np.flatnonzero((loud[:, 0] > 0) & (harmonic * mesh_hz < highest_hz))
        phase = rng.uniform(0, 6.28, count)[rows]
        mesh = _cosine(harmonic * mesh_hz[rows], phase, time_s)
        total[rows] += loud[rows] * (1.0 + depth[rows] * _cosine(shaft_hz[rows], phase, time_s)) * mesh

    for _ in range(FREE_TONES):
        loud = sometimes(rng, count, 0.15, -25.0, 0.0)
        rows = np.flatnonzero(loud[:, 0] > 0)
        tone_hz = rng.uniform(20.0, 0.95 * highest_hz, count)[rows]
        total[rows] += loud[rows] * _cosine(tone_hz, rng.uniform(0, 6.28, count)[rows], time_s)
    return total


def knock_train(
    rng: np.random.Generator, rate_hz: np.ndarray, slip: np.ndarray, length: int, sampling_rate_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return times in samples (n, knocks) and strengths (n, knocks) of trains with random slip.

    Knocks beyond the end have strength zero.
    """
    duration_s = length / sampling_rate_hz
    most = int(np.max(rate_hz) * duration_s * 1.1) + 4
    gaps = np.maximum(1.0 + slip[:, None] * rng.standard_normal((len(rate_hz), most)), 0.2)
    start = rng.uniform(0.0, 1.0, (len(rate_hz), 1))
    times = (start + np.cumsum(gaps, axis=1) - gaps[:, :1]) / rate_hz[:, None]
    strength = np.exp(rng.uniform(0.05, 0.5, (len(rate_hz), 1)) * rng.standard_normal(times.shape))
    return times * sampling_rate_hz, np.where(times < duration_s, strength, 0.0)


def placed(times: np.ndarray, strengths: np.ndarray, length: int) -> np.ndarray:
    """Return impulses at fractional places, shared between the two nearest samples, float32 (n, length)."""
    train = np.zeros((len(times), length + 2), dtype=np.float32)
    whole = np.clip(times.astype(np.int64), 0, length)
    part = np.clip(times - whole, 0.0, 1.0)
    flat = (np.arange(len(times))[:, None] * (length + 2) + whole).ravel()
    size = train.size
    summed = np.bincount(flat, (strengths * (1 - part)).ravel(), size)
    summed += np.bincount(flat + 1, (strengths * part).ravel(), size)[:size]
    return summed.reshape(train.shape)[:, :length].astype(np.float32)


def foreign_knocks(
    rng: np.random.Generator,
    shaft_hz: np.ndarray,
    fault_orders: np.ndarray,
    length: int,
    sampling_rate_hz: float,
) -> np.ndarray:
    """Return impacts that are no bearing of this machine, as a force (n, length).

    Whole numbers a turn (rub, looseness, a damaged tooth, pistons), a rate of another shaft or of a
    neighbour's bearing, clicks at random times. Most machines have none.
    """
    count = len(shaft_hz)
    total = np.zeros((count, length), dtype=np.float32)
    whole = rng.choice([1.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.5], count)
    for order, share in ((whole, 0.1), (_foreign_orders(rng, fault_orders), 0.05)):
        times, strengths = knock_train(
            rng, order * shaft_hz, np.exp(rng.uniform(-8.0, -4.0, count)), length, sampling_rate_hz
        )
        total += sometimes(rng, count, share, -12.0, 6.0) * placed(times, strengths, length)
    clicks = rng.random((count, 24)) * length
    loud = np.where(rng.random((count, 24)) < 0.4, rng.exponential(3.0, (count, 24)), 0.0)
    return total + sometimes(rng, count, 0.04, -6.0, 6.0) * placed(clicks, loud, length)


def _foreign_orders(rng: np.random.Generator, fault_orders: np.ndarray) -> np.ndarray:
    """Draw orders that are none of the bearing's: 4 % or more from its lines and their second harmonics."""
    lines = np.concatenate([fault_orders, 2.0 * fault_orders, 0.5 * fault_orders], axis=1)
    order = rng.uniform(0.3, 12.0, len(fault_orders))
    for _ in range(8):
        close = (np.abs(order[:, None] / lines - 1.0) < 0.04).any(axis=1)
        order = np.where(close, rng.uniform(0.3, 12.0, len(order)), order)
    return order
