"""Strong lines of an envelope spectrum that neither the stated shaft nor the stated bearing explains.

Something strikes at an even rate, and it is not what was named: the speed or the bearing is stated wrongly,
or another part of the machine strikes. Needs NumPy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.signals.lines import HARMONICS, MAIN_LOBE, STANDS_OUT_DB, peaks, reach, reach_of_noise_db
from secateur.signals.speed import MAINS_HZ

MULTIPLES = np.arange(1, HARMONICS + 1)
LEAST_HARMONICS = 3
"""So many of the first four lines must stand out."""

LEAST_DB = 17.0
"""Mean height of the four from which on they are told. In healthy recordings of three rigs it is 14.9 dB at
most; most faults of a race whose speed is stated wrongly have 18 to 25."""

MOST_DB = 25.0
"""Most that one line counts, so that a single one does not stand for four."""

TOLERANCE = 0.005
"""Share of a rate within which its lines are sought: no speed is quite even."""
SHAFT_TOLERANCE = 0.003
"""Of a tachometer."""
BEARING_TOLERANCE = 0.03
"""Slip, and a geometry that is off by a little."""
MAINS_TOLERANCE = 0.006
"""By so much the frequency of the mains moves at most."""

SHAFT_PARTS = np.array([1, 2, 3])
"""Multiples of the shaft rate, of its half and of its third are the shaft's."""
BEARING_MULTIPLES = np.array([0.5, 1.0, 2.0, 3.0])

LEAST_ORDER = 1.2
"""Slower strikes are those of the shaft, of the cage or of a belt."""


@dataclass(frozen=True, kw_only=True)
class StrayLines:
    """A line and its multiples that nothing stated explains.

    Attributes
    ----------
    rate_hz : float
        Of the first line.
    order : float
        The same in turns of the shaft, as its speed was stated.
    strength_db : float
        Mean height of the first four lines over the local median, less what noise reaches, in the best band.
    harmonics : int
        Lines of the four that stand out.
    """

    rate_hz: float
    order: float
    strength_db: float
    harmonics: int

    def to_record(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "rate_hz": round(self.rate_hz, 1),
            "order": round(self.order, 2),
            "strength_db": round(self.strength_db, 1),
            "harmonics": self.harmonics,
        }


def stray_lines(
    levels: np.ndarray, step_hz: float, shaft_rate_hz: float, fault_orders: np.ndarray, *, averaged: int
) -> StrayLines | None:
    """Look for the strongest line and multiples that neither shaft, bearing nor mains explain.

    Parameters
    ----------
    levels : ndarray, shape (bands, points)
        Envelope spectra in decibels over their local median.
    step_hz : float
        Between two points.
    shaft_rate_hz : float
        As it was stated.
    fault_orders : ndarray, shape (4,)
        BPFO, BPFI, twice BSF and FTF over the shaft rate.
    averaged : int
        Spectra that were averaged.

    Returns
    -------
    StrayLines or None
        None if there is none of :data:`LEAST_DB`.
    """
    highest_hz = (levels.shape[-1] - 1 - MAIN_LOBE) * step_hz / ((1 + TOLERANCE) * HARMONICS)
    rates = np.arange(LEAST_ORDER * shaft_rate_hz, highest_hz, step_hz / 2)
    if not len(rates):
        return None
    lines = rates[None, :, None] * MULTIPLES
    noise_db = reach_of_noise_db(reach(lines, step_hz, TOLERANCE), averaged)
    height = peaks(levels[:, None], step_hz, lines, TOLERANCE)[:, 0] - noise_db[0]
    strength = np.minimum(height, MOST_DB).mean(axis=-1)
    band = strength.argmax(axis=0)
    strongest = strength[band, np.arange(len(rates))]
    standing = height[band, np.arange(len(rates))] > STANDS_OUT_DB
    clear = (strongest >= LEAST_DB) & (standing.sum(axis=-1) >= LEAST_HARMONICS)
    for place in np.flatnonzero(clear)[np.argsort(-strongest[clear], kind="stable")]:
        rate_hz = _refined(levels[band[place]], step_hz, rates[place], standing[place])
        if not _explained(rate_hz, step_hz, shaft_rate_hz, fault_orders):
            return StrayLines(
                rate_hz=rate_hz,
                order=rate_hz / shaft_rate_hz,
                strength_db=float(strongest[place]),
                harmonics=int(standing[place].sum()),
            )
    return None


def _refined(levels: np.ndarray, step_hz: float, rate_hz: float, standing: np.ndarray) -> float:
    """Return the rate whose multiples lie closest to the highest points about the lines that stand out."""
    found = []
    for multiple in MULTIPLES[standing]:
        centre = round(multiple * rate_hz / step_hz)
        around = int(reach(np.array(multiple * rate_hz), step_hz, TOLERANCE))
        first = max(centre - around, 0)
        found.append(first + int(levels[first : centre + around + 1].argmax()))
    multiples = MULTIPLES[standing]
    return float(step_hz * (multiples @ np.array(found)) / (multiples @ multiples))


def _explained(rate_hz: float, step_hz: float, shaft_rate_hz: float, fault_orders: np.ndarray) -> bool:
    """Whether a rate is one of shaft, bearing or mains."""
    order = rate_hz / shaft_rate_hz
    width = step_hz / shaft_rate_hz / 2 + SHAFT_TOLERANCE * order
    parts = np.rint(order * SHAFT_PARTS) / SHAFT_PARTS
    mains_hz = np.array(MAINS_HZ)
    mains = np.maximum(np.rint(rate_hz / mains_hz), 1.0) * mains_hz
    bearing = np.outer(BEARING_MULTIPLES, fault_orders)
    return bool(
        (np.abs(order - parts) < width).any()
        or (np.abs(order / bearing - 1.0) < BEARING_TOLERANCE).any()
        or (np.abs(rate_hz - mains) < MAINS_TOLERANCE * rate_hz + step_hz / 2).any()
    )
