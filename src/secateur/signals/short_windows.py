"""Windows of recordings that are a little too short: the end is mirrored, in training and on the device."""

from __future__ import annotations

import math

import numpy as np

LEAST_SHARE = 0.7
"""Of a window, that a recording must fill."""


def least_samples(length: int) -> int:
    """Return how many samples of a window must be there."""
    return math.ceil(LEAST_SHARE * length)


def filled(samples: np.ndarray, length: int) -> np.ndarray:
    """Return samples with their end mirrored, so that they are as many as a window takes.

    Parameters
    ----------
    samples : ndarray, shape (n,)
        At least :func:`least_samples`, and no more than ``length``.
    length : int
        Of the window.
    """
    return np.concatenate([samples, samples[::-1][: length - len(samples)]])
