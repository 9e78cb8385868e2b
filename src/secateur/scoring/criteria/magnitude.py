"""Euclidean magnitude of the weights of a closed unit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from secateur.models.binding import BoundLayer, BoundModel, BoundProjection
from secateur.models.calls import Batch
from secateur.scoring.scores import CRITERIA, Needs, ScoredKind, Scores
from secateur.structure.closure import role_features
from secateur.structure.spec import QUERY_ROLES

SQUARED_AT_ONCE = 1024


@CRITERIA.register("magnitude")
class Magnitude:
    """Root of the mean, over the unit's projections, of the sum of its squared weights.

    A unit is closed: a channel of a gated FFN has its gate, up and down slices, a KV group its key, value
    and all query and output slices, a head its query and output slices. Biases are left out.

    References
    ----------
    Han et al., "Learning both Weights and Connections for Efficient Neural Networks", NeurIPS 2015;
    Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, for whole filters.
    """

    needs: ClassVar[Needs] = "weights"

    def score(self, model: nn.Module, bound: BoundModel, batches: Iterable[Batch], *, seed: int) -> Scores:
        """Score every unit by its weights alone; the batches are not looked at."""
        del model, batches, seed
        return Scores.gathered(
            lambda kind, layer: layer_magnitudes(bound.layers[layer], kind),
            len(bound.layers),
            comparable=False,
        )


@torch.no_grad()
def layer_magnitudes(layer: BoundLayer, kind: ScoredKind) -> np.ndarray:
    """Return the magnitude of every unit of one kind in a layer, float64, (units,)."""
    n_units = layer.units(kind)
    squares, n_roles = np.zeros(n_units), 0
    for projection in layer.projections_of(kind):
        along_units = _squares(projection)
        for role, places in role_features(projection.spec, layer.widths).items():
            if kind == "head" and role not in QUERY_ROLES:
                continue
            squares += along_units[places].reshape(n_units, -1).sum(axis=1)
            n_roles += 1
    return np.sqrt(squares / max(n_roles, 1))


def _squares(projection: BoundProjection) -> np.ndarray:
    """Squared norm along the unit axis; a part at a time, because float64 is large."""
    across = 1 - projection.spec.unit_axis
    parts = projection.weight.split(SQUARED_AT_ONCE, dim=across)
    return torch.stack([part.double().square().sum(dim=across) for part in parts]).sum(dim=0).cpu().numpy()
