"""Paired tests over seeds: is one order better than another by more than chance?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy import stats

from secateur.core.errors import ConfigError

CONFIDENCE = 0.95
MOST_SEEDS_ENUMERATED = 20


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """One arm against the reference, seed by seed.

    Parameters
    ----------
    name : str
        The arm.
    n_seeds : int
        Seeds that have both.
    difference : float
        Mean of arm minus reference.
    interval : (float, float) or None
        95 % interval of Student's t; None for a single seed.
    t_p_value : float or None
        Two-sided, of the paired t-test; None for a single seed or where all differences are one number
        other than 0.
    exact_p_value : float
        Two-sided, of all ``2**n`` ways to flip the signs of the differences. Assumes nothing but symmetry.
    smallest_p_value : float
        The least that the exact test can give with so many seeds, ``2 / 2**n``.
    t_p_holm, exact_p_holm : float or None
        Corrected for the number of arms compared (Holm 1979).
    """

    name: str
    n_seeds: int
    difference: float
    interval: tuple[float, float] | None
    t_p_value: float | None
    exact_p_value: float
    smallest_p_value: float
    t_p_holm: float | None = None
    exact_p_holm: float | None = None


def compare_to(reference: str, values: Mapping[str, Mapping[int, float]]) -> tuple[PairedTest, ...]:
    """Test every other arm against one, over the seeds that both have, corrected together.

    Parameters
    ----------
    reference : str
        Name of the arm to compare with.
    values : mapping
        Arm to seed to figure of merit.

    Raises
    ------
    ConfigError
        If the reference has no values.
    """
    if not values.get(reference):
        raise ConfigError(f"'{reference}' has no figures to compare with; run at least one seed of it.")
    found = []
    for name, own in values.items():
        seeds = sorted(set(own) & set(values[reference]))
        if name != reference and seeds:
            found.append(paired_test(name, [own[seed] - values[reference][seed] for seed in seeds]))
    t_holm = holm([test.t_p_value for test in found])
    exact_holm = holm([test.exact_p_value for test in found])
    return tuple(
        replace(test, t_p_holm=t, exact_p_holm=exact)
        for test, t, exact in zip(found, t_holm, exact_holm, strict=True)
    )


def paired_test(name: str, differences: Sequence[float]) -> PairedTest:
    """Test whether paired differences are centred on 0."""
    values = np.asarray(differences, dtype=np.float64)
    n, mean = len(values), float(values.mean())
    interval = mean_interval(values)
    t_p_value = None
    if not values.any():
        t_p_value = 1.0
    elif interval is not None and interval[1] > interval[0]:
        error = float(values.std(ddof=1)) / np.sqrt(n)
        t_p_value = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return PairedTest(
        name=name,
        n_seeds=n,
        difference=mean,
        interval=interval,
        t_p_value=t_p_value,
        exact_p_value=sign_flip_p_value(values),
        smallest_p_value=min(1.0, 2.0 / 2**n),
    )


def mean_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float] | None:
    """Return the 95 % interval of a mean by Student's t; None for a single value."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return None
    error = float(values.std(ddof=1)) / np.sqrt(len(values))
    margin = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * error
    return float(values.mean()) - margin, float(values.mean()) + margin


def sign_flip_p_value(differences: Sequence[float] | np.ndarray) -> float:
    """Return the share of all flips of signs whose mean is at least as far from 0 as the one seen.

    Raises
    ------
    ConfigError
        If there are more than 20 differences, more than a million flips.
    """
    values = np.asarray(differences, dtype=np.float64)
    if len(values) > MOST_SEEDS_ENUMERATED:
        raise ConfigError(
            f"{len(values)} seeds were given; the exact test compares {MOST_SEEDS_ENUMERATED} at most."
        )
    signs = np.array(list(product((1.0, -1.0), repeat=len(values))))
    sums = np.abs(signs @ values)
    # the flip seen is among them; rounding must not shut it out
    return float((sums >= abs(values.sum()) - 1e-12 * max(1.0, np.abs(values).sum())).mean())


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p-values for their number by Holm's step-down method; those missing stay missing.

    References
    ----------
    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Statist. 6, 1979.
    """
    known = sorted((value, place) for place, value in enumerate(p_values) if value is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (value, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * value))
        corrected[place] = largest
    return corrected
