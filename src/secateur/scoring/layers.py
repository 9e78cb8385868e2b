"""How much whole layers matter: the exact loss of skipping them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from secateur.core.errors import PlanError
from secateur.core.progress import progress
from secateur.models.binding import BoundModel
from secateur.models.calls import Batch
from secateur.models.skipping import skipped
from secateur.scoring.objective import sample_losses
from secateur.tasks.objective import Reference


@dataclass(frozen=True, kw_only=True)
class LayerRanking:
    """Layers in the order in which they are given up.

    Parameters
    ----------
    order : tuple of int
        Positions of the removed layers, the least harmful first.
    losses : tuple of float
        Mean loss a sample with the first 0, 1, 2, ... of them removed; one more than ``order``.
    single_increases : tuple of float
        Increase in mean loss when each layer, by position, is removed alone.
    """

    order: tuple[int, ...]
    losses: tuple[float, ...]
    single_increases: tuple[float, ...]


def layer_removal_losses(
    model: nn.Module,
    bound: BoundModel,
    batches: Sequence[Batch],
    references: Sequence[Reference] | None = None,
) -> np.ndarray:
    """Exact increase in mean loss when each layer is skipped alone.

    Parameters
    ----------
    model : nn.Module
    bound : BoundModel
        Its binding.
    batches : sequence of dict
        Calibration batches.
    references : sequence of Reference, optional
        Of the dense model; adds the divergence from it to the loss.

    Returns
    -------
    ndarray of float64, shape (layers,)
        Negative where the model is better off without the layer.
    """
    whole = float(sample_losses(model, batches, references).mean())
    increases = [
        _loss_without(model, bound, batches, references, (position,)) - whole
        for position in range(len(bound.layers))
    ]
    return np.array(increases)


def rank_layers(
    model: nn.Module,
    bound: BoundModel,
    batches: Sequence[Batch],
    references: Sequence[Reference] | None = None,
    *,
    n_removed: int,
    candidates: int | None = None,
) -> LayerRanking:
    """Remove the least harmful layer, measure the rest again, and so on.

    Parameters
    ----------
    model, bound, batches, references
        As in :func:`layer_removal_losses`.
    n_removed : int
        How many layers to give up; at least one layer stays.
    candidates : int, optional
        Measure again only as many layers, those that cost least when they were measured last. A layer that
        was costly seldom becomes the cheapest when another has left, and passes of large models take long.

    Returns
    -------
    LayerRanking
    """
    n_layers = len(bound.layers)
    if not 0 <= n_removed < n_layers:
        raise PlanError(f"{n_removed} layers were to be removed of {n_layers}; allowed: 0 to {n_layers - 1}.")
    order: list[int] = []
    losses = [float(sample_losses(model, batches, references).mean())]
    single: tuple[float, ...] = ()
    most = n_layers if candidates is None else candidates
    total = n_layers + sum(min(most, n_layers - gone) for gone in range(1, n_removed))
    last = dict.fromkeys(range(n_layers), 0.0)
    with progress("measuring layers", total) as bar:
        while not single or len(order) < n_removed:
            remaining = sorted(set(last) - set(order), key=lambda position: (last[position], position))
            found = {}
            for position in sorted(remaining[: most if single else n_layers]):
                found[position] = _loss_without(model, bound, batches, references, (*order, position))
                bar.advance()
            last |= found
            if not single:
                single = tuple(found[position] - losses[0] for position in range(n_layers))
            if len(order) < n_removed:
                best = min(found, key=found.__getitem__)
                order.append(best)
                losses.append(found[best])
    return LayerRanking(order=tuple(order), losses=tuple(losses), single_increases=single)


def _loss_without(
    model: nn.Module,
    bound: BoundModel,
    batches: Sequence[Batch],
    references: Sequence[Reference] | None,
    positions: Sequence[int],
) -> float:
    with skipped(bound, positions):
        return float(sample_losses(model, batches, references).mean())
