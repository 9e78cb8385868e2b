"""Spreads of latencies, and ratios of two models measured in turns, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from secateur.core.errors import MeasurementError
from secateur.core.seeds import generator

DRAWS = 2000
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What a series of times came to, in the unit of the times.

    Attributes
    ----------
    count : int
        Times in the series.
    mean, p50, p90, p99, highest : float
        Percentiles are nearest ranks: times that were really measured.
    """

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    highest: float


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times a base takes what another takes, and where chance lets that lie.

    Attributes
    ----------
    value : float
        Median over the pairs of turns.
    low, high : float
        95 % bootstrap interval of that median.
    turns : int
        Pairs of turns.
    """

    value: float
    low: float
    high: float
    turns: int

    @property
    def saved(self) -> float:
        """Share of the base that is saved, such as 0.92."""
        return 1.0 - 1.0 / self.value


def spread(times: Sequence[float] | np.ndarray) -> Spread:
    """Summarise a series of times.

    Raises
    ------
    MeasurementError
        If there is none.
    """
    values = np.asarray(times, dtype=np.float64)
    if not values.size:
        raise MeasurementError("no time was measured; give more seconds.")
    p50, p90, p99 = np.percentile(values, (50, 90, 99), method="inverted_cdf")
    return Spread(
        count=values.size,
        mean=float(values.mean()),
        p50=float(p50),
        p90=float(p90),
        p99=float(p99),
        highest=float(values.max()),
    )


def paired_ratio(base: Sequence[float], other: Sequence[float], *, seed: int) -> Ratio:
    """Compare two models that took turns.

    A turn of the one and the turn of the other beside it meet the same state of the machine, so each pair
    gives one ratio. The median of them passes over turns that something else disturbed.

    Parameters
    ----------
    base, other : sequence of float
        One positive figure a turn, in the order of the turns.
    seed : int
        Of the resampling of pairs.

    Raises
    ------
    MeasurementError
        If the turns are not pairs, or a figure is not positive.

    References
    ----------
    Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13 (percentile intervals).
    """
    one, two = np.asarray(base, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if one.shape != two.shape or one.ndim != 1 or not one.size:
        raise MeasurementError(f"{one.size} and {two.size} turns were given; a ratio needs pairs of turns.")
    if not (one.min() > 0 and two.min() > 0):
        raise MeasurementError(
            "a turn took no measurable time; the clock of this system is too coarse for this model."
        )
    ratios = one / two
    rng = generator(seed, "ratio")
    drawn = np.median(ratios[rng.integers(len(ratios), size=(DRAWS, len(ratios)))], axis=1)
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Ratio(value=float(np.median(ratios)), low=float(low), high=float(high), turns=len(ratios))
