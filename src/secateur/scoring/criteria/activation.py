"""Energy that a unit sends into the residual stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from secateur.core.errors import ConfigError
from secateur.models.binding import BoundModel
from secateur.scoring.calibration import Batch, frozen, logits_of
from secateur.scoring.gates import UnitKind, unit_inputs
from secateur.scoring.scores import CRITERIA, Scores


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
        sums: dict[tuple[UnitKind, int], torch.Tensor] = {}
        tokens: dict[tuple[UnitKind, int], int] = {}

        def visit(kind: UnitKind, position: int, z: torch.Tensor) -> None:
            place = (kind, position)
            square = z.double().square().flatten(0, -2)
            sums[place] = sums.get(place, 0.0) + square.sum(dim=0)
            tokens[place] = tokens.get(place, 0) + len(square)

        with torch.no_grad(), frozen(model), unit_inputs(bound, visit):
            for batch in batches:
                logits_of(model, batch)
        if not sums:
            raise ConfigError("the activation criterion was given no calibration sample; give at least one.")

        def energies(kind: UnitKind) -> tuple[np.ndarray, ...]:
            found = []
            for position, layer in enumerate(bound.layers):
                mean_square = sums[kind, position] / tokens[kind, position]
                n_units = layer.n_groups if kind == "group" else layer.n_channels
                columns = _column_square(bound, position, kind)
                found.append(output_energy(mean_square, columns, n_units).cpu().numpy())
            return tuple(found)

        return Scores(groups=energies("group"), channels=energies("channel"), comparable=False)


@torch.no_grad()
def _column_square(bound: BoundModel, position: int, kind: UnitKind) -> torch.Tensor:
    projection = bound.layers[position].projection("o" if kind == "group" else "down")
    return projection.module.weight.double().square().sum(dim=1 - projection.spec.unit_axis)
