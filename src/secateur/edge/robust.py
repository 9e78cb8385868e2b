"""Median and robust spread of a sample, which a few outliers do not move."""

from __future__ import annotations

import numpy as np

_MAD_TO_SIGMA = 1.4826


def median_and_spread(values: np.ndarray, *, least_spread: float) -> tuple[float, float]:
    """Return the median, and the median deviation from it as the standard deviation of a normal sample.

    Parameters
    ----------
    values : ndarray, shape (n,)
        At least one.
    least_spread : float
        What the spread is raised to where a small sample looks more alike than it is.
    """
    median = float(np.median(values))
    spread = _MAD_TO_SIGMA * float(np.median(np.abs(values - median)))
    return median, max(spread, least_spread)
