"""Figures of merit for class decisions, in NumPy, so that every model and rival is judged alike."""

from __future__ import annotations

import numpy as np

from secateur.core.errors import DataError
from secateur.core.seeds import generator


def confusion(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Count windows by true class (rows) and called class (columns).

    Parameters
    ----------
    labels, predicted : ndarray of int, shape (n,)
    n_classes : int

    Returns
    -------
    ndarray of int64, shape (n_classes, n_classes)

    Raises
    ------
    DataError
        If there are no windows, or a label lies outside ``0 .. n_classes - 1``.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if len(labels) == 0:
        raise DataError("no windows were given to judge; the test part of the split is empty.")
    if labels.min() < 0 or labels.max() >= n_classes:
        raise DataError(
            f"labels run from {labels.min()} to {labels.max()}; with {n_classes} classes they must lie in "
            f"0..{n_classes - 1} (-1 means unlabelled and cannot be judged)."
        )
    counts = np.bincount(labels * n_classes + predicted, minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes)


def accuracy(counts: np.ndarray) -> float:
    """Share of windows correctly classified, from a confusion matrix."""
    return float(np.trace(counts) / counts.sum())


def per_class_recall(counts: np.ndarray) -> np.ndarray:
    """Recall of each class; NaN for a class that has no windows. Shape (n_classes,)."""
    present = counts.sum(axis=1)
    return np.divide(np.diag(counts), present, out=np.full(len(counts), np.nan), where=present > 0)


def macro_f1(counts: np.ndarray) -> float:
    """Mean F1 over the classes that have windows.

    A class without windows has no recall; leaving it out keeps the figure comparable between
    splits. Windows wrongly called that class still cost their own class recall.
    """
    present = counts.sum(axis=1) > 0
    denominator = counts.sum(axis=0) + counts.sum(axis=1)
    f1 = 2 * np.diag(counts)[present] / denominator[present]
    return float(f1.mean())


def false_alarm_rate(counts: np.ndarray, healthy: int | None) -> float | None:
    """Share of healthy windows called faulty; None if no class is healthy or it has no windows."""
    if healthy is None or counts[healthy].sum() == 0:
        return None
    return float(1 - counts[healthy, healthy] / counts[healthy].sum())


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities along the last axis, in float64."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def expected_calibration_error(logits: np.ndarray, labels: np.ndarray, n_bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over equal-width confidence bins.

    Parameters
    ----------
    logits : ndarray, shape (n, n_classes)
    labels : ndarray of int, shape (n,)
    n_bins : int

    References
    ----------
    Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, eq. 3.
    """
    probabilities = np.exp(log_softmax(logits))
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    gaps = np.bincount(bins, weights=correct - confidence, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(labels))


def agreement(logits: np.ndarray, others: np.ndarray) -> float:
    """Share of windows on which two models call the same class."""
    return float((np.argmax(logits, axis=1) == np.argmax(others, axis=1)).mean())


def kl_divergence(reference: np.ndarray, other: np.ndarray) -> float:
    """Mean over windows of KL(reference || other) in nats, from logits of shape (n, n_classes)."""
    log_p, log_q = log_softmax(reference), log_softmax(other)
    return float(np.maximum((np.exp(log_p) * (log_p - log_q)).sum(axis=1), 0.0).mean())


def bootstrap_interval(
    values: np.ndarray,
    *,
    clusters: np.ndarray | None = None,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One value a window, such as 1.0 for a right call.
    clusters : ndarray, shape (n,), optional
        Specimen of each window. Windows of one specimen stand or fall together, so whole
        specimens are drawn; without it single windows are, which is too optimistic.
    confidence : float
        Share of draws inside the interval.
    draws : int
        Bootstrap draws.
    seed : int

    Returns
    -------
    (float, float)
        Lower and upper end.
    """
    values = np.asarray(values, dtype=np.float64)
    if clusters is None:
        sums, sizes = values, np.ones(len(values))
    else:
        _, member = np.unique(np.asarray(clusters), return_inverse=True)
        sums, sizes = np.bincount(member, weights=values), np.bincount(member).astype(np.float64)
    rng = generator(seed, "bootstrap")
    means = np.empty(draws)
    for draw in range(draws):
        chosen = rng.integers(0, len(sums), len(sums))
        means[draw] = sums[chosen].sum() / sizes[chosen].sum()
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
