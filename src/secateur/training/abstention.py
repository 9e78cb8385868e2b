"""Temperature and thresholds below which an answer means "cannot say", set on held-out windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from secateur.bundle.manifest import AbstentionRecord
from secateur.core.errors import DataError
from secateur.training.metrics import log_softmax

ERROR_AIMED_AT = 0.05
"""Of the answers that are given on the held-out windows, at most this share may be wrong."""

UNUSUAL_SHARE = 0.01
"""Share of the held-out windows with the lowest energy that is given up as unlike the rest."""

LEAST_CONFIDENCE, MOST_CONFIDENCE = 0.5, 0.99
TEMPERATURES = np.exp(np.linspace(np.log(0.25), np.log(10.0), 75))

SetOn = Literal["held-out specimens", "held-out machines", "windows of the training specimens"]


def fit_abstention(
    logits: np.ndarray, labels: np.ndarray, groups: Sequence[str], *, set_on: SetOn
) -> AbstentionRecord:
    """Choose temperature and thresholds.

    The temperature makes the held-out labels likeliest (Guo, Pleiss, Sun, Weinberger, ICML 2017). On windows
    of specimens that the model was trained on it is never below 1: confidence there is no proof. The least
    confidence is the lowest at which the answers given are right often enough. The least energy is a low
    quantile of the energies of windows correctly classified (Liu, Wang, Owens, Li, NeurIPS 2020).

    Parameters
    ----------
    logits : ndarray, shape (n, classes)
    labels : ndarray of int, shape (n,)
    groups : sequence of str
        Specimen of each window.
    set_on : str
        What the windows are.

    Raises
    ------
    DataError
        If there are no labelled windows.
    """
    labels = np.asarray(labels)
    known = labels >= 0
    if not known.any():
        raise DataError("no labelled windows to set thresholds on; leave some out of training.")
    logits, labels = np.asarray(logits, dtype=np.float64)[known], labels[known]
    rows = np.arange(len(labels))
    allowed = TEMPERATURES[TEMPERATURES >= 1.0] if set_on.startswith("windows") else TEMPERATURES
    losses = [-log_softmax(logits / t)[rows, labels].mean() for t in allowed]
    temperature = float(allowed[int(np.argmin(losses))])
    log_p = log_softmax(logits / temperature)
    confidence = np.exp(log_p.max(axis=1))
    right = log_p.argmax(axis=1) == labels
    scaled = logits / temperature
    energy = scaled.max(axis=1) - log_p.max(axis=1)
    usual = energy[right] if right.any() else energy
    return AbstentionRecord(
        temperature=temperature,
        least_confidence=_least_confidence(confidence, right),
        least_energy=float(np.quantile(usual, UNUSUAL_SHARE)),
        set_on=set_on,
        windows=len(labels),
        specimens=len({group for group, kept in zip(groups, known, strict=True) if kept}),
        error_aimed_at=ERROR_AIMED_AT,
    )


def _least_confidence(confidence: np.ndarray, right: np.ndarray) -> float:
    """Lowest confidence from which on the share of wrong answers is within the aim."""
    order = np.argsort(-confidence, kind="stable")
    wrong_share = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    within = np.flatnonzero(wrong_share <= ERROR_AIMED_AT)
    lowest = confidence[order][within[-1]] if len(within) else MOST_CONFIDENCE
    return float(np.clip(lowest, LEAST_CONFIDENCE, MOST_CONFIDENCE))
