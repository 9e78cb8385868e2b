"""Kernel dependence between hidden states and the class: unbiased HSIC and its normalised form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial.distance import pdist, squareform

from secateur.core.errors import DataError
from secateur.core.seeds import generator
from secateur.sia.information import ProcessingViolation

FEWEST = 8
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class KernelDependence:
    """Dependence of one place on the class.

    Parameters
    ----------
    place : str
    hsic : float
        Unbiased estimate; 0 on average for independent data, so that it may be negative.
    cka : float
        ``HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))``, all unbiased: 1 where the kernels agree.
    interval : (float, float)
        95 % interval of ``cka`` from random halves of the samples.
    null_quantile : float
        95 % quantile of ``cka`` under permuted classes.
    p_value : float
        Share of permutations, the identity counted as one, whose ``hsic`` is at least as large.
    halves : ndarray, shape (draws,)
        ``cka`` of the random halves, the same halves for every place of one call.
    """

    place: str
    hsic: float
    cka: float
    interval: tuple[float, float]
    null_quantile: float
    p_value: float
    halves: np.ndarray


WHY_KERNEL = (
    "The CKA with the class grew by {gain:.3f} from {former} to {latter} because the step between them "
    "pulled the classes apart, which a kernel measure rewards. The data-processing inequality bounds mutual "
    "information, not this measure."
)


def gaussian_kernel(x: np.ndarray) -> np.ndarray:
    """Return ``exp(-|x_i - x_j|^2 / (2 m^2))`` with the median distance ``m``, shape (samples, samples).

    Unchanged by translations, by one scale for all features, and by orthogonal maps.
    """
    distances = pdist(np.asarray(x, dtype=np.float64), "sqeuclidean")
    positive = distances[distances > 0]
    width = float(np.median(positive)) if len(positive) else 1.0
    return squareform(np.exp(-distances / (2 * width))) + np.eye(len(x))


def class_kernel(labels: np.ndarray) -> np.ndarray:
    """Return 1 where two samples are of one class, else 0, shape (samples, samples)."""
    labels = np.asarray(labels)
    return (labels[:, None] == labels[None, :]).astype(np.float64)


def unbiased_hsic(first: np.ndarray, second: np.ndarray) -> float:
    """Unbiased estimate of the Hilbert-Schmidt independence criterion from two kernel matrices.

    Parameters
    ----------
    first, second : ndarray, shape (n, n)
        Of the same samples, at least 4.

    References
    ----------
    Song, Smola, Gretton, Bedo, Borgwardt, "Feature Selection via Dependence Maximization", JMLR 13, 2012,
    equation 5.
    """
    n = len(first)
    if n < 4 or first.shape != second.shape:
        raise DataError(f"kernels of {n} and {len(second)} samples; give two of the same 4 samples or more.")
    own, other = _hollow(first), _hollow(second)
    trace = float((own * other).sum())
    sums = float(own.sum() * other.sum()) / ((n - 1) * (n - 2))
    cross = 2 / (n - 2) * float(own.sum(axis=0) @ other.sum(axis=0))
    return (trace + sums - cross) / (n * (n - 3))


def centred_alignment(first: np.ndarray, second: np.ndarray) -> float:
    """Return the unbiased CKA of two kernel matrices; 0 where one of them does not vary.

    References
    ----------
    Kornblith, Norouzi, Lee, Hinton, "Similarity of Neural Network Representations Revisited", ICML 2019;
    Nguyen, Raghu, Kornblith, "Do Wide and Deep Networks Learn the Same Things?", ICLR 2021, for the
    unbiased form.
    """
    own = unbiased_hsic(first, first) * unbiased_hsic(second, second)
    return unbiased_hsic(first, second) / float(np.sqrt(own)) if own > 0 else 0.0


def kernel_dependence(
    place: str,
    states: np.ndarray,
    labels: np.ndarray,
    *,
    permutations: int = 200,
    halves: int = 100,
    seed: int = 0,
) -> KernelDependence:
    """Measure how much the states depend on the class, against permuted classes.

    Parameters
    ----------
    place : str
        For the result.
    states : ndarray, shape (samples, features)
    labels : ndarray of int, shape (samples,)
    permutations : int
        Of the classes, for the null.
    halves : int
        Random halves of the samples. Drawn without replacement, since doubled samples would bias a kernel
        estimate; the spread of a half around the whole is, to first order, that of the whole.
    seed : int
        Of both; one seed gives every place the same draws.

    Raises
    ------
    DataError
        If there are fewer than 8 samples.
    """
    n = len(labels)
    if n < FEWEST or n != len(states):
        raise DataError(f"{n} labels for {len(states)} states; give one for each, and at least {FEWEST}.")
    first, second = gaussian_kernel(states), class_kernel(labels)
    hsic, cka = unbiased_hsic(first, second), centred_alignment(first, second)
    draw = generator(seed, "permutations")
    null = permuted_hsic(first, labels, [draw.permutation(n) for _ in range(permutations)])
    scale = cka / hsic if hsic else 0.0
    draw = generator(seed, "halves")
    parts = [np.sort(draw.permutation(n)[: max(n // 2, 4)]) for _ in range(halves)]
    spread = np.array([centred_alignment(first[np.ix_(p, p)], second[np.ix_(p, p)]) for p in parts])
    return KernelDependence(
        place=place,
        hsic=hsic,
        cka=cka,
        interval=_around(cka, spread),
        null_quantile=float(np.quantile(null, CONFIDENCE) * scale),
        p_value=float((1 + (null >= hsic).sum()) / (1 + permutations)),
        halves=spread,
    )


def permuted_hsic(kernel: np.ndarray, labels: np.ndarray, orders: Sequence[np.ndarray]) -> np.ndarray:
    """Return :func:`unbiased_hsic` of a kernel with the class kernel of permuted labels, one an order.

    The class kernel is ``Y Y^T`` of one-hot rows ``Y``, so that a permutation costs ``n^2`` times the classes
    and no new matrix.
    """
    n = len(labels)
    own = _hollow(kernel)
    sums = own.sum(axis=0)
    rows = (np.asarray(labels)[:, None] == np.unique(labels)[None, :]).astype(np.float64)
    sizes = rows @ rows.sum(axis=0) - 1.0
    whole = float(sums.sum() * sizes.sum()) / ((n - 1) * (n - 2))
    found = []
    for order in orders:
        turned = rows[order]
        trace = float((turned * (own @ turned)).sum())
        cross = 2 / (n - 2) * float(sums @ sizes[order])
        found.append((trace + whole - cross) / (n * (n - 3)))
    return np.array(found)


def kernel_violations(curve: Sequence[KernelDependence]) -> tuple[ProcessingViolation, ...]:
    """List the steps behind which the CKA with the class is larger, beyond the interval of its change.

    Parameters
    ----------
    curve : sequence of KernelDependence
        Places in the order of the computation, measured on the same samples with one seed.
    """
    found = []
    for former, latter in pairwise(curve):
        gain = latter.cka - former.cka
        interval = _around(gain, latter.halves - former.halves)
        if interval[0] > 0:
            found.append(
                ProcessingViolation(
                    former=former.place,
                    latter=latter.place,
                    gain=gain,
                    interval=interval,
                    why=WHY_KERNEL.format(former=former.place, latter=latter.place, gain=gain),
                )
            )
    return tuple(found)


def _hollow(kernel: np.ndarray) -> np.ndarray:
    hollow = np.array(kernel, dtype=np.float64)
    np.fill_diagonal(hollow, 0.0)
    return hollow


def _around(value: float, draws: np.ndarray) -> tuple[float, float]:
    """Interval of normal form: the spread of the draws laid around the estimate itself."""
    margin = 1.959963984540054 * float(np.std(draws, ddof=1)) if len(draws) > 1 else 0.0
    return value - margin, value + margin
