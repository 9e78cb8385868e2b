"""Energy that a unit sends into the residual stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from secateur.core.errors import ConfigError
from secateur.models.binding import BoundLayer, BoundModel, BoundProjection
from secateur.models.calls import Batch, real_tokens, run, token_mask
from secateur.models.frozen import frozen
from secateur.scoring.gates import unit_inputs
from secateur.scoring.scores import CRITERIA, Needs, ScoredKind, Scores
from secateur.structure.spec import OUTPUT_ROLE, WidthKind
from secateur.tasks.kinds import objective_of
from secateur.tasks.precision import rounded_weights, scoring_autocast
from secateur.tasks.token_backward import body_of

SQUARED_AT_ONCE = 1024


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

    needs: ClassVar[Needs] = "activations"

    def score(self, model: nn.Module, bound: BoundModel, batches: Iterable[Batch], *, seed: int) -> Scores:
        """Score every unit from one forward pass over the batches, heads left out."""
        del seed
        sums: dict[tuple[WidthKind, int], torch.Tensor] = {}
        tokens: dict[tuple[WidthKind, int], int] = {}
        mask: torch.Tensor | None = None

        def visit(kind: WidthKind, position: int, z: torch.Tensor) -> None:
            place = (kind, position)
            square = real_tokens(z, mask).double().square()
            sums[place] = sums.get(place, 0.0) + square.sum(dim=0)
            tokens[place] = tokens.get(place, 0) + len(square)

        device, rounds = next(model.parameters()).device, objective_of(model).rounds
        with torch.no_grad(), frozen(model), rounded_weights(model, rounds=rounds), unit_inputs(bound, visit):
            for batch in batches:
                mask = token_mask(batch)
                with scoring_autocast(device, rounds=rounds):
                    run(body_of(model), batch)
        if not sums:
            raise ConfigError("the activation criterion was given no calibration sample; give at least one.")

        means = {place: sums[place] / tokens[place] for place in sums}
        layers = bound.layers

        def energies(kind: ScoredKind, position: int) -> np.ndarray:
            own = {source: mean for (source, place), mean in means.items() if place == position}
            return layer_energies(layers[position], kind, own)

        return Scores.gathered(energies, len(layers), comparable=False)


@torch.no_grad()
def layer_energies(
    layer: BoundLayer, kind: ScoredKind, mean_squares: Mapping[WidthKind, torch.Tensor]
) -> np.ndarray:
    """Return the energy of every unit of one kind in a layer, float64, (units,).

    Parameters
    ----------
    layer : BoundLayer
        With its weights.
    kind : {"group", "head", "cross_group", "channel"}
    mean_squares : mapping of WidthKind to Tensor of float64
        E[z^2] over tokens of the input of the output projection of each kind.
    """
    n_units = layer.units(kind)
    if not n_units:
        return np.zeros(0)
    source: WidthKind = "group" if kind == "head" else kind
    columns = _column_square(layer.projection(OUTPUT_ROLE[source]))
    return output_energy(mean_squares[source], columns, n_units).cpu().numpy()


def _column_square(projection: BoundProjection) -> torch.Tensor:
    """Squared norm of the weights behind each input; a part at a time, because float64 is large."""
    along = 1 - projection.spec.unit_axis
    parts = projection.weight.split(SQUARED_AT_ONCE, dim=along)
    return torch.stack([part.double().square().sum(dim=along) for part in parts]).sum(dim=0)
