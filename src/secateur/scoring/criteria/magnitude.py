"""Euclidean magnitude of the weights of a closed unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from secateur.models.binding import BoundModel
from secateur.scoring.calibration import Batch
from secateur.scoring.scores import CRITERIA, Scores
from secateur.structure.closure import role_features
from secateur.structure.spec import UnitKind


@CRITERIA.register("magnitude")
class Magnitude:
    """Root of the mean, over the unit's projections, of the sum of its squared weights.

    A unit is closed: a channel of a gated FFN has its gate, up and down slices, a KV group its key, value
    and all query and output slices. Biases are left out.

    References
    ----------
    Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015;
    Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, for whole filters.
    """

    needs: ClassVar = "weights"

    def score(self, model: nn.Module, bound: BoundModel, batches: Iterable[Batch], *, seed: int) -> Scores:
        """Score every unit by its weights alone; the batches are not looked at."""
        del model, batches, seed
        layers = range(len(bound.layers))
        return Scores(
            groups=tuple(_magnitudes(bound, layer, "group") for layer in layers),
            channels=tuple(_magnitudes(bound, layer, "channel") for layer in layers),
            comparable=False,
        )


@torch.no_grad()
def _magnitudes(bound: BoundModel, layer: int, kind: UnitKind) -> np.ndarray:
    block = bound.layers[layer]
    n_units = block.units(kind)
    squares, n_roles = np.zeros(n_units), 0
    for projection in block.projections_of(kind):
        weight = projection.module.weight
        along_units = weight.double().square().sum(dim=1 - projection.spec.unit_axis).cpu().numpy()
        for places in role_features(projection.spec, block.widths).values():
            squares += along_units[places].reshape(n_units, -1).sum(axis=1)
        n_roles += len(projection.spec.roles)
    return np.sqrt(squares / n_roles)
