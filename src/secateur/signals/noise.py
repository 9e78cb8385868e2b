"""Noise added to windows at a stated ratio of signal to noise."""

from __future__ import annotations

from typing import Literal

import numpy as np

from secateur.core.errors import ConfigError
from secateur.signals.windows import normalise


def add_noise(
    windows: np.ndarray,
    snr_db: float | np.ndarray,
    rng: np.random.Generator,
    kind: Literal["white"] | np.ndarray = "white",
) -> np.ndarray:
    """Add noise and scale to unit RMS again.

    The ratio holds exactly for each window: ``10 log10(power of the window / power of the noise)``, both
    without their mean. What is already in the window, its own noise included, counts as signal.

    Parameters
    ----------
    windows : ndarray, shape (..., samples)
    snr_db : float or ndarray, shape (...)
        One ratio, or one for each window.
    rng : numpy.random.Generator
    kind : "white" or ndarray, shape (recordings, samples or more)
        Gaussian noise of equal power at all frequencies, or recorded background: each window gets a
        stretch from a random row and place of it.

    Returns
    -------
    ndarray of float32, same shape

    Raises
    ------
    ConfigError
        If the ratio is not finite or the background does not hold a window.
    """
    snr_db = np.asarray(snr_db, dtype=np.float64)
    if not np.isfinite(snr_db).all():
        raise ConfigError(f"signal-to-noise ratio {snr_db} dB; it must be finite.")
    signal = normalise(windows)
    if isinstance(kind, str):
        if kind != "white":
            raise ConfigError(f"noise of kind '{kind}'; allowed: 'white', or an array of background.")
        noise = rng.standard_normal(signal.shape, dtype=np.float32)
    else:
        noise = _stretches(kind, signal.shape, rng)
    scale = 10.0 ** (-snr_db / 20.0)
    return normalise(signal + normalise(noise) * scale[..., None])


def _stretches(background: np.ndarray, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    length = shape[-1]
    if background.ndim != 2 or background.shape[1] < length:
        raise ConfigError(
            f"background of shape {background.shape}; it must be (recordings, {length} or more samples)."
        )
    n_windows = int(np.prod(shape[:-1]))
    row = rng.integers(len(background), size=n_windows)
    start = rng.integers(background.shape[1] - length + 1, size=n_windows)
    return background[row[:, None], start[:, None] + np.arange(length)].reshape(shape)
