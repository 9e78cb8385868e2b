"""Waveforms of one rig: knocks of a defect, ring of the structure, tones of shaft and gear, noise.

The model is that of McFadden and Smith (Journal of Sound and Vibration 96, 1984) with the random slip
of Antoni and Randall (Journal of Vibration and Acoustics 125, 2003).
"""

from __future__ import annotations

import numpy as np
from numpy.fft import irfft, rfft

from secateur.signals.fast_length import fast_length
from secateur.signals.simulator.parameters import MM_PER_MIL, DefectPhysics, Gear, Mode, Rig


def ring(modes: tuple[Mode, ...], sampling_rate_hz: float) -> np.ndarray:
    """Return the structure's answer to a unit knock, down to a thousandth of its start.

    Returns
    -------
    ndarray of float32, shape (samples,)
    """
    slowest = min(2.0 * np.pi * mode.frequency_hz * mode.damping_ratio for mode in modes)
    time_s = np.arange(int(np.log(1000.0) / slowest * sampling_rate_hz) + 1) / sampling_rate_hz
    response = np.zeros_like(time_s)
    for mode in modes:
        rate = 2.0 * np.pi * mode.frequency_hz
        damped = rate * np.sqrt(1.0 - mode.damping_ratio**2)
        response += mode.gain * np.exp(-mode.damping_ratio * rate * time_s) * np.sin(damped * time_s)
    return response.astype(np.float32)


def through_structure(excitation: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Return the excitation convolved with the structure's answer, of the excitation's length."""
    n_samples = len(excitation)
    n_fast = fast_length(n_samples + len(response) - 1)
    return irfft(rfft(excitation, n_fast) * rfft(response, n_fast), n_fast)[:n_samples]


def knock_times(rate_hz: float, duration_s: float, slip: float, rng: np.random.Generator) -> np.ndarray:
    """Return the times in seconds of knocks whose distances vary randomly by ``slip``."""
    count = int(duration_s * rate_hz * 1.05) + 10
    gaps = np.maximum(1.0 + slip * rng.standard_normal(count), 0.1) / rate_hz
    times = rng.uniform(0.0, 1.0 / rate_hz) + np.cumsum(gaps)
    return times[times < duration_s]


def load_at(angle_rad: np.ndarray, physics: DefectPhysics) -> np.ndarray:
    """Return the strength of a knock at an angle from the middle of the load zone (Stribeck's law)."""
    inside = np.maximum(1.0 - (1.0 - np.cos(angle_rad)) / (2.0 * physics.load_zone_extent), 0.0)
    return physics.unloaded_floor + (1.0 - physics.unloaded_floor) * inside**1.5


def knocks(
    location: str,
    size_mil: float,
    shaft_rate_hz: float,
    rig: Rig,
    physics: DefectPhysics,
    n_samples: int,
    sampling_rate_hz: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the force of a defect on the structure, an impulse train.

    An outer-race defect stays in the load zone; one on the inner race passes through it once a turn of
    the shaft, one on a ball once a turn of the cage, striking outer and inner race in turn.

    Returns
    -------
    ndarray of float32, shape (samples,)
    """
    orders = rig.bearing.orders
    order = {"outer_race": orders.bpfo, "inner_race": orders.bpfi, "ball": orders.bsf2}[location]
    lasting = 1.0 + physics.mean_slip * rng.uniform(-1.0, 1.0)
    times = knock_times(order * shaft_rate_hz * lasting, n_samples / sampling_rate_hz, physics.slip, rng)
    strength = np.exp(physics.strength_spread * rng.standard_normal(len(times)))
    start = rng.uniform(0.0, 2.0 * np.pi)
    if location == "inner_race":
        strength *= load_at(start + 2.0 * np.pi * shaft_rate_hz * times, physics)
    elif location == "ball":
        strength *= load_at(start + 2.0 * np.pi * orders.ftf * shaft_rate_hz * times, physics)
        strength[1::2] *= 0.7  # the path from the inner race to the housing is longer
    contact_mm_per_s = np.pi * rig.bearing.pitch_diameter_mm * orders.ftf * shaft_rate_hz
    crossing_s = size_mil * MM_PER_MIL / contact_mm_per_s
    train = np.zeros(n_samples + 2)
    _place(train, times * sampling_rate_hz, -physics.entry_share * strength)
    _place(train, (times + crossing_s) * sampling_rate_hz, strength)
    return train[:n_samples].astype(np.float32)


def _place(train: np.ndarray, positions: np.ndarray, strength: np.ndarray) -> None:
    """Add impulses at fractional positions, shared between the two nearest samples."""
    kept = positions < len(train) - 1
    positions, strength = positions[kept], strength[kept]
    whole = positions.astype(np.int64)
    part = positions - whole
    np.add.at(train, whole, strength * (1.0 - part))
    np.add.at(train, whole + 1, strength * part)


def tones(
    shaft_rate_hz: float,
    shaft_amplitudes: tuple[float, ...],
    gear: Gear | None,
    n_samples: int,
    sampling_rate_hz: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return shaft multiples and the gear mesh with its modulation, float32 (samples,)."""
    turn = (2.0 * np.pi * shaft_rate_hz / sampling_rate_hz * np.arange(n_samples)).astype(np.float64)
    total = np.zeros(n_samples)
    for multiple, amplitude in enumerate(shaft_amplitudes, start=1):
        total += amplitude * np.cos(multiple * turn + rng.uniform(0.0, 2.0 * np.pi))
    if gear is not None:
        mesh = np.cos(gear.teeth * turn + rng.uniform(0.0, 2.0 * np.pi))
        total += gear.amplitude * (1.0 + gear.modulation * np.cos(turn)) * mesh
    return total.astype(np.float32)


def background(
    response: np.ndarray, structural_share: float, n_samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Return noise of unit RMS, part of it shaped by the structure, float32 (samples,)."""
    white = rng.standard_normal(n_samples, dtype=np.float32)
    shaped = through_structure(rng.standard_normal(n_samples, dtype=np.float32), response)
    shaped /= np.sqrt(np.mean(shaped**2))
    return np.sqrt(1.0 - structural_share) * white + np.sqrt(structural_share) * shaped
