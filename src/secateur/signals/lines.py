"""How high lines stand in spectra that are told in decibels over their local median. Needs NumPy alone."""

from __future__ import annotations

import math

import numpy as np

FAMILIES = ("bpfo", "bpfi", "bsf2", "ftf", "shaft")
"""Families of lines: those of outer race, inner race, ball (twice its spin) and cage; and the shaft's own."""

HARMONICS = 4
"""Lines of a family that are looked at: the first and its multiples."""

STANDS_OUT_DB = 6.0
"""A line this far above what noise reaches counts as one that stands out."""

MAIN_LOBE = 2.0
"""Half width of a line under a Hann window, in points."""


def reach(rates_hz: np.ndarray, step_hz: float, tolerance: float) -> np.ndarray:
    """Points to either side of a rate within which its line is sought."""
    return 1.0 + np.floor(tolerance * rates_hz / step_hz)


def reach_of_noise_db(points: np.ndarray, averaged: int) -> np.ndarray:
    """How far over the median the highest of ``2 points + 1`` points of averaged noise power comes.

    For one spectrum, power over its median is exponential with ``ln 2`` in the middle, and the highest of n
    points is near ``ln n`` at the median of n draws; averaging K spectra shrinks the excess by ``sqrt(K)``.
    """
    one = np.sqrt(np.log(2.0 * (2.0 * points + 1.0)) / math.log(2.0))
    return 20.0 * np.log10(1.0 + (one - 1.0) / math.sqrt(averaged))


def peaks(levels: np.ndarray, step_hz: float, rates_hz: np.ndarray, tolerance: float) -> np.ndarray:
    """Highest level near each rate: (bands, windows, points) at (windows, ...) -> (bands, windows, ...)."""
    shape = rates_hz.shape
    places = rates_hz.reshape(len(rates_hz), -1)
    centre = np.rint(places / step_hz).astype(int)
    around = reach(places, step_hz, tolerance)
    highest = np.full((len(levels), *places.shape), -np.inf)
    for offset in range(-int(around.max()), int(around.max()) + 1):
        seen = taken(levels, np.clip(centre + offset, 0, levels.shape[-1] - 1))
        highest = np.where(np.abs(offset) <= around, np.maximum(highest, seen), highest)
    inside = (places > 0) & (centre + around < levels.shape[-1])
    return np.where(inside, highest, 0.0).reshape(len(levels), *shape)


def taken(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Take (bands, windows, points) at (windows, k) -> (bands, windows, k)."""
    return np.take_along_axis(values, places[None], axis=-1)
