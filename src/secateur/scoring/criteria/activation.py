"""Energy that a unit sends into the residual stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from secateur.core.errors import ConfigError
from secateur.models.binding import BoundModel, BoundProjection
from secateur.models.calls import Batch, run
from secateur.scoring.calibration import frozen
from secateur.scoring.gates import unit_inputs
from secateur.scoring.scores import CRITERIA, ScoredKind, Scores
from secateur.structure.spec import OUTPUT_ROLE, WidthKind


def output_energy(mean_square: torch.Tensor, column_square: torch.Tensor, n_units: int) -> torch.Tensor:
    """Return ``sum over the unit's dimensions of E[z^2] * ||w||^2``.

    Parameters
    ----------
    mean_square : Tensor of float64, shape (n_units * width,)
        E[z^2] over tokens of the input of an output projection.
    column_square : Tensor of float64, shape (n_units * width,)
        Squared norm of the weights that leave each of these inputs.
    n_units : int
        Units side by side.

    Returns
    -------
    Tensor of float64, shape (n_units,)
    """
    return (mean_square * column_square).unflatten(-1, (n_units, -1)).sum(dim=-1)


@CRITERIA.register("activation")
class ActivationEnergy:
    """Mean squared length of what each dimension of a unit adds to the residual stream, summed.

    Cross terms between the dimensions of one head are left out. Compared within one kind of unit.
    """

    needs: ClassVar = "activations"

    def score(self, model: nn.Module, bound: BoundModel, batches: Iterable[Batch], *, seed: int) -> Scores:
        """Score every unit from one forward pass over the batches."""
        del seed
        sums: dict[tuple[WidthKind, int], torch.Tensor] = {}
        tokens: dict[tuple[WidthKind, int], int] = {}

        def visit(kind: WidthKind, position: int, z: torch.Tensor) -> None:
            place = (kind, position)
            square = z.double().square().flatten(0, -2)
            sums[place] = sums.get(place, 0.0) + square.sum(dim=0)
            tokens[place] = tokens.get(place, 0) + len(square)

        with torch.no_grad(), frozen(model), unit_inputs(bound, visit):
            for batch in batches:
                run(model, batch)
        if not sums:
            raise ConfigError("the activation criterion was given no calibration sample; give at least one.")

        def energies(kind: ScoredKind, position: int) -> np.ndarray:
            source: WidthKind = "group" if kind == "head" else kind
            layer = bound.layers[position]
            if not layer.units(kind):
                return np.zeros(0)
            mean_square = sums[source, position] / tokens[source, position]
            columns = _column_square(layer.projection(OUTPUT_ROLE[source]))
            return output_energy(mean_square, columns, layer.units(kind)).cpu().numpy()

        return Scores.gathered(energies, len(bound.layers), comparable=False)


@torch.no_grad()
def _column_square(projection: BoundProjection) -> torch.Tensor:
    return projection.module.weight.double().square().sum(dim=1 - projection.spec.unit_axis)
