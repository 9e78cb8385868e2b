"""How much whole layers matter: the exact loss of skipping them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from secateur.core.errors import PlanError
from secateur.core.progress import progress
from secateur.models.binding import BoundModel
from secateur.models.calls import Batch
from secateur.models.skipping import skipped
from secateur.scoring.objective import sample_losses


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
    references: Sequence[torch.Tensor] | None = None,
) -> np.ndarray:
    """Exact increase in mean loss when each layer is skipped alone.

    Parameters
    ----------
    model : nn.Module
        The classifier.
    bound : BoundModel
        Its binding.
    batches : sequence of dict
        Calibration batches.
    references : sequence of Tensor, optional
        Logits of the dense model; adds KL(dense || model) to the cross-entropy.

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
    references: Sequence[torch.Tensor] | None = None,
    *,
    n_removed: int,
) -> LayerRanking:
    """Remove the least harmful layer, measure the rest again, and so on.

    Parameters
    ----------
    model, bound, batches, references
        As in :func:`layer_removal_losses`.
    n_removed : int
        How many layers to give up; at least one layer stays.

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
    total = sum(n_layers - gone for gone in range(max(n_removed, 1)))
    with progress("measuring layers", total) as bar:
        while not single or len(order) < n_removed:
            remaining = [position for position in range(n_layers) if position not in order]
            found = []
            for position in remaining:
                found.append(_loss_without(model, bound, batches, references, (*order, position)))
                bar.advance()
            if not single:
                single = tuple(loss - losses[0] for loss in found)
            if len(order) < n_removed:
                best = int(np.argmin(found))
                order.append(remaining[best])
                losses.append(found[best])
    return LayerRanking(order=tuple(order), losses=tuple(losses), single_increases=single)


def _loss_without(
    model: nn.Module,
    bound: BoundModel,
    batches: Sequence[Batch],
    references: Sequence[torch.Tensor] | None,
    positions: Sequence[int],
) -> float:
    with skipped(bound, positions):
        return float(sample_losses(model, batches, references).mean())
