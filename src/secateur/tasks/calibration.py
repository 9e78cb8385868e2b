"""Calibration windows, drawn so that all classes are there."""

from __future__ import annotations

import numpy as np
import torch

from secateur.core.errors import ConfigError
from secateur.core.seeds import generator
from secateur.models.calls import Batch
from secateur.signals.windows import Windows


def stratified_indices(labels: np.ndarray, n: int, *, seed: int) -> np.ndarray:
    """Choose ``n`` windows with the classes as even as their numbers allow.

    Parameters
    ----------
    labels : ndarray of int, shape (windows,)
        Class of each window.
    n : int
        How many to choose; all of them if there are fewer.
    seed : int
        The run's seed.

    Returns
    -------
    ndarray of int, shape (min(n, windows),)
        Indices; neighbours are of different classes, so that every batch sees most classes.
    """
    if n < 1:
        raise ConfigError(f"{n} calibration samples were asked for; at least 1 is needed.")
    draw = generator(seed, "calibration")
    labels = np.asarray(labels)
    turn = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[draw.permutation(members)] = np.arange(len(members))
    return np.lexsort((labels, turn))[:n]


def draw_batches(windows: Windows, n: int, *, batch_size: int = 32, seed: int) -> tuple[Batch, ...]:
    """Read ``n`` stratified windows once and hold them as batches of tensors.

    Parameters
    ----------
    windows : Windows
        Where to draw from.
    n : int
        Number of windows, all if there are fewer.
    batch_size : int
        Windows a batch.
    seed : int
        The run's seed.

    Returns
    -------
    tuple of dict
        Each with ``waveform`` (B, L), ``shaft_rate_hz`` (B,), ``fault_orders`` (B, 4), ``label`` (B,).
    """
    indices = stratified_indices(windows.labels, n, seed=seed)
    return tuple(
        {name: torch.from_numpy(values) for name, values in batch.items()}
        for batch in windows.batches(batch_size, order=indices)
    )
