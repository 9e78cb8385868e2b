"""What a model says about consecutive windows of a recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secateur.edge.windows import Usability


@dataclass(frozen=True, kw_only=True)
class WindowDiagnoses:
    """What the model says about consecutive windows.

    Attributes
    ----------
    starts_s : ndarray of float64, shape (n,)
        Where each window begins.
    probabilities : ndarray of float32, shape (n, classes)
        Calibrated, in the order of the manifest's labels; NaN where a window is not usable.
    usability : tuple of Usability
        "usable", or why a window is not; in words in :data:`secateur.edge.windows.REASONS`.
    labels : tuple of str or None
        The class of highest probability; None where a window is not usable.
    energies : ndarray of float64, shape (n,)
        Logarithm of the summed exponentials of the calibrated logits: low for what is unlike the training
        data; NaN where a window is not usable.
    rms : ndarray of float64, shape (n,)
        Level of each window about its mean, in the unit of the waveform; NaN where a window is not usable.
    """

    starts_s: np.ndarray
    probabilities: np.ndarray
    usability: tuple[Usability, ...]
    labels: tuple[str | None, ...]
    energies: np.ndarray
    rms: np.ndarray

    @property
    def usable(self) -> np.ndarray:
        """Whether each window is, bool of shape (n,)."""
        return np.array([entry == "usable" for entry in self.usability], dtype=bool)


def root_mean_square(rms: np.ndarray) -> float:
    """Return the level of a recording from the levels of its windows, shape (windows,)."""
    return float(np.sqrt(np.mean(np.square(rms))))
