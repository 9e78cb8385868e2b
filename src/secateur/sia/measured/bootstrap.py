"""Intervals: every statistic computed on many resampled calibration sets at once, without a new pass.

A pass leaves one figure a sample. A resampled calibration set is a row of weights over the samples, so D(S)
on all of them is one product. Column 0 of every table of weights is the set as it was measured; the other
columns are its replicates. A statistic is written once, for columns, and yields its value and its replicates.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from secateur.core.seeds import generator
from secateur.sia.measured.measurement import Estimate

REPLICATES = 400
LEVEL = 0.95
TAIL = float(norm.ppf(0.5 + LEVEL / 2))
STRONGEST = 1 - 1e-3
"""Correlations nearer to 1 are taken as this on Fisher's scale, which ends there."""

NOTHING = Estimate(value=float("nan"), low=float("nan"), high=float("nan"))


def resampling_weights(
    n: int, *, seed: int, name: object, replicates: int = REPLICATES, size: int | None = None
) -> np.ndarray:
    """Return weights of resampled sets.

    Parameters
    ----------
    n : int
        Things to resample, with replacement.
    seed, name
        Of the draw.
    replicates : int
        Resampled sets.
    size : int, optional
        Draws in each set, ``n`` by default.

    Returns
    -------
    ndarray of float64, shape (n, 1 + replicates)
        Each column adds up to 1; column 0 is 1 / n throughout.
    """
    size = size or n
    draws = generator(seed, "bootstrap", name).multinomial(size, np.full(n, 1.0 / n), size=replicates)
    return np.concatenate([np.full((1, n), 1.0 / n), draws / size]).T


def estimate_of(values: np.ndarray) -> Estimate:
    """Turn a statistic and its replicates into an estimate with a 95 % interval.

    The interval is the bias-corrected percentile one, stretched, if need be, to hold the value. The size of a
    difference is biased upwards by noise: where D(S) and the sum are equal but for sampling, the gap is small
    and not 0, and its interval does not reach 0.

    Parameters
    ----------
    values : ndarray, shape (1 + replicates,)
        The statistic first, its replicates behind; replicates that are not finite are left out.

    References
    ----------
    Efron, "Better Bootstrap Confidence Intervals", JASA 1987, section 2.
    """
    value, replicates = float(values[0]), values[1:][np.isfinite(values[1:])]
    if not np.isfinite(value) or len(replicates) < 2:
        return Estimate(value=value, low=float("nan"), high=float("nan"))
    below = np.mean(replicates < value) + 0.5 * np.mean(replicates == value)
    bias = norm.ppf(np.clip(below, 1 / (len(replicates) + 1), len(replicates) / (len(replicates) + 1)))
    low, high = np.quantile(replicates, norm.cdf([2 * bias - TAIL, 2 * bias + TAIL]))
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value))


def correlation_of(values: np.ndarray) -> Estimate:
    """Turn a correlation (or a mean of correlations) and its replicates into an estimate.

    A resampled set has the noise of the scores twice, which pulls every replicate towards 0; percentiles of
    replicates then miss the value (in simulations of noisy scores they cover it in 65 to 80 % of the cases).
    So only their spread is used, around the value, on Fisher's scale (89 to 95 %).

    Parameters
    ----------
    values : ndarray, shape (1 + replicates,)
        The correlation first, its replicates behind; replicates that are not finite are left out.

    References
    ----------
    Fisher, "On the Probable Error of a Coefficient of Correlation Deduced from a Small Sample", 1921.
    """
    value, replicates = float(values[0]), values[1:][np.isfinite(values[1:])]
    if not np.isfinite(value) or len(replicates) < 2:
        return Estimate(value=value, low=float("nan"), high=float("nan"))
    spread = np.arctanh(np.clip(replicates, -STRONGEST, STRONGEST)).std()
    centre = np.arctanh(np.clip(value, -STRONGEST, STRONGEST))
    low, high = np.tanh([centre - TAIL * spread, centre + TAIL * spread])
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value))
