"""How often each class is learnt from: loss weights, and balanced batches addressed by step.

Half of what is learnt from is healthy, the damages share the other half alike. A window that shows nothing,
under noise above all, is then no likelier a damaged machine than a healthy one; with all classes alike it
would be a damaged one three times in four, and the model would raise false alarms.
"""

from __future__ import annotations

import numpy as np

from secateur.core.errors import ConfigError, DataError
from secateur.core.seeds import generator


def class_weights(labels: np.ndarray, n_classes: int, healthy: int | None = None) -> np.ndarray:
    """Weight classes inversely to their number of windows, the healthy one as much as all others together.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
    n_classes : int
    healthy : int, optional
        Label of the healthy class; None for none.

    Returns
    -------
    ndarray of float32, shape (n_classes,)
        ``n * share / windows of the class``, so that the mean weight over the windows is 1; 0 for a class
        without windows.
    """
    counts = np.bincount(labels, minlength=n_classes)
    shares = np.where(counts > 0, 1.0, 0.0)
    if healthy is not None and counts[healthy] > 0:
        shares[healthy] = max(shares.sum() - 1, 1)
    return (len(labels) * shares / (shares.sum() * np.maximum(counts, 1))).astype(np.float32)


class BatchSampler:
    """Window indices of every training step, computed from the step alone.

    There is no state to save: a resumed run asks for step 4711 and gets what the uninterrupted
    one got. Windows are used up without replacement, epoch by epoch (of each class, if balanced).

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Class of each window.
    batch_size : int
    seed : int
    balanced : bool
        Draw all classes equally often, the healthy one as often as all others together; else all windows
        equally often.
    healthy : int, optional
        Label of the healthy class; None for none.
    """

    def __init__(
        self, labels: np.ndarray, batch_size: int, seed: int, *, balanced: bool, healthy: int | None = None
    ) -> None:
        labels = np.asarray(labels)
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}; it must be at least 1.")
        if len(labels) == 0:
            raise DataError(
                "no training windows; the training part is empty or its recordings are too short."
            )
        if labels.min() < 0:
            raise DataError(
                f"{int((labels < 0).sum())} training windows have no label; leave unlabelled recordings out."
            )
        self.batch_size, self.seed = batch_size, seed
        self._pools = _pools(labels, healthy) if balanced else [np.arange(len(labels))]
        self._orders: dict[int, tuple[int, np.ndarray]] = {}

    def _order(self, pool: int, epoch: int) -> np.ndarray:
        """Return the order in which a pool is used up in one epoch."""
        kept = self._orders.get(pool)
        if kept is None or kept[0] != epoch:
            rng = generator(self.seed, "order", pool, epoch)
            kept = self._orders[pool] = (epoch, rng.permutation(self._pools[pool]))
        return kept[1]

    def indices(self, step: int) -> np.ndarray:
        """Return the window indices of a step, shape (batch_size,)."""
        chosen = np.empty(self.batch_size, dtype=np.int64)
        n_pools = len(self._pools)
        for place in range(self.batch_size):
            # In every round each class is drawn once, in a random order.
            turn, position = divmod(step * self.batch_size + place, n_pools)
            if place == 0 or position == 0:
                pools = generator(self.seed, "round", turn).permutation(n_pools) if n_pools > 1 else [0]
            pool = int(pools[position])
            epoch, entry = divmod(turn, len(self._pools[pool]))
            chosen[place] = self._order(pool, epoch)[entry]
        return chosen


def _pools(labels: np.ndarray, healthy: int | None) -> list[np.ndarray]:
    """Return windows that are drawn equally often: of each class, and one healthy pool for each damage."""
    classes = np.unique(labels)
    n_damages = max(int(np.count_nonzero(classes != healthy)), 1)
    pools = []
    for label in classes:
        windows = np.flatnonzero(labels == label)
        n_pools = min(n_damages, len(windows)) if label == healthy else 1
        pools += [windows[first::n_pools] for first in range(n_pools)]
    return pools
