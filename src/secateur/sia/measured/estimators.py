r"""The statistics of the measured part, as functions of tables of D.

Every table has one column a resampled calibration set (:mod:`bootstrap`), column 0 the measured one, so a
function returns its value and its replicates together.

Why sums over sums. The gap of one set, ``|D(S) - sum D({i})| / max(D(S), sum D({i}), eps)``, divides by a
number that is noise where the set costs nothing, and mean ratios are then ruled by sets that hardly matter.
Numerator and denominator are therefore added over the sets first (for one set it is the same number). Removal
may also help, D({i}) < 0: then ``max(D(S), sum D({i}))`` passes through 0 while both are large, and the
quotient has no bound. With absolute values, ``max(|D(S)|, |sum D({i})|)``, it lies in [0, 2], and in [0, 1]
where both are of one sign; where both are positive it is the former definition to the letter. (Not
``sum |D({i})|``: of many units that cost nothing it adds the noise up, and a large set would look additive
for that alone.)

A pair has two terms only, so there ``|D({i})| + |D({j})|`` is the better scale: it stays clear of 0 where one
removal helps and the other harms.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import hypergeom, rankdata

EPSILON = 1e-9
"""Costs below this many nats are no cost."""


def gap(
    joint: np.ndarray, summed: np.ndarray, draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the additivity gap, mean D(S) and mean ``sum D({i})`` over subsets.

    Parameters
    ----------
    joint, summed : ndarray, shape (subsets, columns)
        D(S), and ``sum D({i})`` over the members of S.
    draws : ndarray, shape (subsets, columns)
        Weights of the subsets in each column.

    Returns
    -------
    tuple of ndarray, each of shape (columns,)
    """
    apart = (draws * np.abs(joint - summed)).sum(axis=0)
    scale = (draws * np.maximum(np.abs(joint), np.abs(summed))).sum(axis=0)
    found = np.where(scale > EPSILON, apart / np.maximum(scale, EPSILON), 0.0)
    return found, (draws * joint).sum(axis=0), (draws * summed).sum(axis=0)


def interaction(
    joint: np.ndarray, first: np.ndarray, second: np.ndarray, draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, normalised and signed normalised interaction of pairs.

    Parameters
    ----------
    joint, first, second : ndarray, shape (pairs, columns)
        D({i, j}), D({i}), D({j}).
    draws : ndarray, shape (pairs, columns)
        Weights of the pairs in each column.

    Returns
    -------
    tuple of ndarray, each of shape (columns,)
    """
    each = joint - first - second
    scale = (draws * np.maximum(np.abs(joint), np.abs(first) + np.abs(second))).sum(axis=0)
    mean, size = (draws * each).sum(axis=0), (draws * np.abs(each)).sum(axis=0)
    known, scale = scale > EPSILON, np.maximum(scale, EPSILON)
    return mean, np.where(known, size / scale, 0.0), np.where(known, mean / scale, 0.0)


def spearman(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the rank correlation of each column of two tables (units, columns); NaN where one is constant.

    Ties take their mean rank.
    """
    if len(first) < 2:
        return np.full(first.shape[1], np.nan)
    ranks = [rankdata(table, axis=0) for table in (first, second)]
    centred = [table - table.mean(axis=0) for table in ranks]
    product = (centred[0] * centred[1]).sum(axis=0)
    lengths = np.sqrt((centred[0] ** 2).sum(axis=0) * (centred[1] ** 2).sum(axis=0))
    with np.errstate(invalid="ignore"):
        return np.where(lengths > 0, product / np.where(lengths > 0, lengths, 1.0), np.nan)


def jaccard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return ``|A and B| / |A or B|`` of sets (truth values along the first axis); 1 for two empty sets."""
    either = (first | second).sum(axis=0)
    return np.where(either > 0, (first & second).sum(axis=0) / np.maximum(either, 1), 1.0)


def chance_jaccard(n: int, kept: int) -> float:
    """Return the expected overlap of two independent choices of ``kept`` out of ``n``.

    The size of the intersection is hypergeometric.
    """
    both = np.arange(kept + 1)
    return float((hypergeom.pmf(both, n, kept, kept) * both / np.maximum(2 * kept - both, 1)).sum())
