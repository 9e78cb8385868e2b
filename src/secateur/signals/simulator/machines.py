"""Random machines: bearing, speed, structure, noises and sensor drawn anew for every one of them.

A model that is to judge machines it has never met must not learn any single one. Ranges are wide on purpose;
where a figure has a source it is named in :mod:`secateur.signals.simulator.parameters`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LABELS = ("normal", "inner_race", "outer_race", "ball")
"""Classes of the random machines, in the order of their numbers."""

MODES = 6
FAULT_SHARE = 0.6

FASTEST_RPM, SLOWEST_RPM = 4_000.0, 500.0
LARGEST_LASTING_SLIP = 0.015


@dataclass(frozen=True, kw_only=True)
class Machines:
    """Drawn parameters of n machines; every array has n rows.

    Attributes
    ----------
    label : ndarray of int, shape (n,)
        Index into :data:`LABELS`.
    shaft_hz : ndarray, shape (n,)
        True turns a second.
    told_shaft_hz : ndarray, shape (n,)
        What the tachometer says; 0 where it says nothing.
    told_orders : ndarray, shape (n, 4)
        BPFO, BPFI, twice BSF, FTF of the catalogue; zeros where the bearing is unknown.
    true_orders : ndarray, shape (n, 4)
        With slip.
    fault_db : ndarray, shape (n,)
        Power of the defect's knocks over that of all the rest.
    """

    label: np.ndarray
    shaft_hz: np.ndarray
    told_shaft_hz: np.ndarray
    told_orders: np.ndarray
    true_orders: np.ndarray
    fault_db: np.ndarray

    def __len__(self) -> int:
        return len(self.label)


def kinematic_orders(n_balls: np.ndarray, ratio: np.ndarray, slip: np.ndarray | float = 0.0) -> np.ndarray:
    """Return BPFO, BPFI, twice BSF and FTF over the shaft rate, shape (n, 4).

    Parameters
    ----------
    n_balls : ndarray
    ratio : ndarray
        Ball over pitch diameter, times the cosine of the contact angle.
    slip : ndarray or float
        Share by which the cage lags behind rolling without slip; BPFO and BPFI still add up to ``n_balls``.
    """
    ftf = (1.0 - ratio) / 2.0 * (1.0 - slip)
    bpfo = n_balls * ftf
    bsf2 = (1.0 - ratio**2) / ratio * (1.0 - 0.5 * np.asarray(slip))
    return np.stack([bpfo, n_balls - bpfo, bsf2, ftf], axis=-1)


def draw_machines(rng: np.random.Generator, count: int) -> Machines:
    """Draw machines.

    Four of ten are healthy. One of ten bearings has no tachometer or no known geometry.

    Parameters
    ----------
    rng : numpy.random.Generator
    count : int
    """
    is_faulty = rng.random(count) < FAULT_SHARE
    label = np.where(is_faulty, rng.integers(1, len(LABELS), count), 0)
    n_balls = rng.integers(6, 23, count).astype(np.float64)
    ratio = rng.uniform(0.10, 0.33, count)
    shaft_hz = np.exp(rng.uniform(np.log(SLOWEST_RPM), np.log(FASTEST_RPM), count)) / 60.0
    slip = np.clip(0.004 * rng.standard_normal(count), -LARGEST_LASTING_SLIP, LARGEST_LASTING_SLIP)
    spread = np.where(rng.random(count) < 0.85, 0.001, 0.005)
    error = np.clip(spread * rng.standard_normal(count), -0.01, 0.01)
    knows_speed, knows_bearing = rng.random(count) >= 0.06, rng.random(count) >= 0.06
    # catalogues round, and at times the bearing was replaced by one like it
    rounding = np.where(rng.random((count, 1)) < 0.85, 0.0015, 0.008)
    told = kinematic_orders(n_balls, ratio) * (1.0 + rounding * rng.standard_normal((count, 4)))
    return Machines(
        label=label,
        shaft_hz=shaft_hz,
        told_shaft_hz=np.where(knows_speed, shaft_hz * (1.0 + error), 0.0),
        told_orders=np.where(knows_bearing[:, None], told, 0.0),
        true_orders=kinematic_orders(n_balls, ratio, slip),
        fault_db=rng.uniform(-14.0, 12.0, count),
    )


def draw_structures(rng: np.random.Generator, count: int, frequency_hz: np.ndarray) -> np.ndarray:
    """Return transfer functions from a force to a sensor, complex64 (count, frequencies).

    Up to six modes over a slope: 300 Hz up to the Nyquist rate, 0.5 to 8 % of critical damping.
    """
    highest_hz = frequency_hz[-1]
    mode_hz = np.exp(rng.uniform(np.log(300.0), np.log(0.98 * highest_hz), (count, MODES)))
    damping = np.exp(rng.uniform(np.log(0.005), np.log(0.08), (count, MODES)))
    present = rng.random((count, MODES)) < rng.uniform(0.3, 1.0, (count, 1))
    gain = 10.0 ** (rng.uniform(-25.0, 0.0, (count, MODES)) / 20.0) * present * damping
    sign = np.where(rng.random((count, MODES)) < 0.5, -1.0, 1.0)
    relative = np.maximum(frequency_hz, frequency_hz[1]) / highest_hz
    direct = 10.0 ** (rng.uniform(-40.0, -8.0, (count, 1)) / 20.0)
    total = (direct * relative ** rng.uniform(-0.5, 1.0, (count, 1))).astype(np.complex64)
    for mode in range(MODES):
        rows = np.flatnonzero(present[:, mode])
        ratio = (frequency_hz / mode_hz[rows, mode, None]).astype(np.float32)
        resonance = np.empty(ratio.shape, dtype=np.complex64)
        resonance.real = 1.0 - ratio**2
        resonance.imag = (2.0 * damping[rows, mode, None]).astype(np.float32) * ratio
        total[rows] += (sign * gain)[rows, mode, None].astype(np.float32) * ratio / resonance
    return total


def draw_colours(rng: np.random.Generator, count: int, frequency_hz: np.ndarray) -> np.ndarray:
    """Return amplitudes of background noise over frequency, float32 (count, frequencies).

    A slope of -9 to +3 dB an octave under a smooth random curve.
    """
    relative = np.maximum(frequency_hz, 20.0) / frequency_hz[-1]
    slope = relative ** -rng.uniform(-0.5, 1.5, (count, 1))
    knots = np.linspace(0.0, frequency_hz[-1], 9)
    curve_db = 6.0 * rng.standard_normal((count, len(knots)))
    curve = np.stack([np.interp(frequency_hz, knots, row) for row in curve_db])
    return (np.minimum(slope, 30.0) * 10.0 ** (curve / 20.0)).astype(np.float32)
