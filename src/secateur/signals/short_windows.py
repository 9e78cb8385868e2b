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
    samples : ndarray, shape (..., n)
        At least half as many as ``length``, and no more.
    length : int
        Of the window.
    """
    missing = length - samples.shape[-1]
    return np.concatenate([samples, samples[..., ::-1][..., :missing]], axis=-1) if missing else samples
