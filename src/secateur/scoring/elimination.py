"""Taking units out of a linear map one after the other, with the best stand-in by those that stay."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

DAMPING = 1e-2
"""Added to the inputs' covariance, relative to their mean variance: inputs that calibration hardly excites
must not look as if anything could stand in for them."""

STEPS = 64
"""Elimination goes on in about so many steps; the units of one step are weighed together."""


def elimination_costs(covariance: Tensor, sensitivity: Tensor, weight: Tensor, n_units: int) -> Tensor:
    """Return what taking out each unit costs, at its turn, cheapest first.

    With P the inverse of the damped covariance and u the columns of a unit, the change D of the other columns
    that makes ``tr(G D A D^T) / 2`` smallest costs ``tr([P_uu]^-1 W_u^T G W_u) / 2``. It is
    ``-W_u [P_uu]^-1 P_u:``; after it P loses the unit by block elimination. For single columns and ``G = I``
    this is the optimal brain surgeon for a layer.

    Parameters
    ----------
    covariance : Tensor of float64, shape (n_units * width, n_units * width)
        A, of the inputs.
    sensitivity : Tensor of float64, shape (outputs, outputs)
        G, second moment of the loss's gradient with respect to the outputs.
    weight : Tensor of float64, shape (outputs, n_units * width)
        W.
    n_units : int
        Units side by side.

    Returns
    -------
    Tensor of float64, shape (n_units,)
        The highest cost met up to the unit's turn: no unit that leaves later has a lower one.
    """
    left = Staying.all_of(covariance, sensitivity, weight, n_units)
    costs, highest = torch.zeros(n_units, dtype=weight.dtype), 0.0
    at_once = max(1, n_units // STEPS)
    while left.places.numel():
        present = left.costs()
        cheapest = present.argsort(stable=True)[:at_once]
        leaving = left.places[cheapest]
        costs[left.units[leaving]] = present[cheapest].clamp_min(highest)
        highest = float(costs[left.units[leaving]].max())
        left.take_out(leaving)
    return costs


def _root(sensitivity: Tensor) -> Tensor:
    """Return R with ``R^T R = G``; G may be singular, and slightly indefinite by rounding."""
    factor, failed = torch.linalg.cholesky_ex(sensitivity)
    if not failed:
        return factor.T
    values, vectors = torch.linalg.eigh(sensitivity)
    return (vectors * values.clamp_min(0).sqrt()).T


class Staying:
    """The units that stay, with the weights that have made up for the others, times the root of G.

    Updates are made in place on all columns, those of units that have left included; matrices are made
    smaller only when a quarter of their units has left.
    """

    def __init__(self, *, precision: Tensor, weight: Tensor, units: Tensor) -> None:
        self.precision, self.weight, self.units = precision, weight, units
        self.width = weight.shape[1] // len(units)
        self.places = torch.arange(len(units))

    @classmethod
    def all_of(cls, covariance: Tensor, sensitivity: Tensor, weight: Tensor, n_units: int) -> Staying:
        """Begin with every unit; the arguments are those of :func:`elimination_costs`."""
        strength = DAMPING * covariance.diagonal().mean().clamp_min(1e-30)
        damped = covariance.clone()
        damped.diagonal().add_(strength)
        return cls(
            precision=torch.cholesky_inverse(torch.linalg.cholesky(damped)),
            weight=_root(sensitivity) @ weight,
            units=torch.arange(n_units),
        )

    def places_of(self, units: Sequence[int]) -> Tensor:
        """Return where units that stay are found."""
        return torch.cat([(self.units == unit).nonzero()[:, 0] for unit in units])

    def costs_by_unit(self) -> dict[int, float]:
        """Return :meth:`costs` by the number of the unit."""
        return dict(zip(self.units[self.places].tolist(), self.costs().tolist(), strict=True))

    def cost_together(self, units: Sequence[int]) -> float:
        """Return what units cost that leave at once."""
        columns = self._columns(self.places_of(units)).flatten()
        weight = self.weight[:, columns]
        solved = torch.linalg.solve(self.precision[columns][:, columns], weight.T @ weight)
        return max(0.0, float(solved.diagonal().sum()) / 2)

    def costs(self) -> Tensor:
        """Return ``tr([P_uu]^-1 W_u^T G W_u) / 2`` of every unit that stays."""
        if self.width == 1:
            # the same without a copy of the weights, which would take longer than anything else here
            curvature = self.weight.square().sum(dim=0)[self.places]
            return curvature / (2 * self.precision.diagonal()[self.places])
        columns = self._columns(self.places)
        blocks = self.precision[columns[:, :, None], columns[:, None, :]]
        weight = self.weight[:, columns]
        curvature = torch.einsum("ouw,ouv->uwv", weight, weight)
        solved = torch.linalg.solve(blocks, curvature)
        return solved.diagonal(dim1=-2, dim2=-1).sum(dim=-1).clamp_min(0) / 2

    def take_out(self, leaving: Tensor) -> None:
        """Let the others stand in for units that leave, given by their places."""
        gone = self._columns(leaving).flatten()
        rows = self.precision[gone]
        stand_in = torch.linalg.solve(rows[:, gone], rows)
        self.weight.addmm_(self.weight[:, gone], stand_in, alpha=-1)
        self.precision.addmm_(rows.T, stand_in, alpha=-1)
        self.places = self.places[~torch.isin(self.places, leaving)]
        if len(self.places) < 0.75 * len(self.units):
            kept = self._columns(self.places).flatten()
            self.precision = self.precision[kept[:, None], kept]
            self.weight = self.weight[:, kept]
            self.units = self.units[self.places]
            self.places = torch.arange(len(self.units))

    def _columns(self, places: Tensor) -> Tensor:
        return places[:, None] * self.width + torch.arange(self.width)
