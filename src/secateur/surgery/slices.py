"""Cutting one weight matrix down to the features of the units that stay."""

from __future__ import annotations

import torch

from secateur.models.binding import BoundProjection
from secateur.structure.closure import LayerWidths, unit_features


def keep_units(projection: BoundProjection, widths: LayerWidths, units: tuple[int, ...]) -> None:
    """Keep the rows (or columns) of ``units`` in place; biases go with rows, output biases stay whole.

    Parameters
    ----------
    projection : BoundProjection
        The matrix to cut.
    widths : LayerWidths
        Widths of its layer before the cut.
    units : tuple of int
        Groups or channels that stay.
    """
    module = projection.module
    kept = torch.from_numpy(unit_features(projection.spec, widths, units)).to(module.weight.device)
    weight = module.weight.detach().index_select(projection.spec.unit_axis, kept)
    bias = module.bias
    if bias is not None and projection.spec.bias_follows_units:
        bias = bias.detach().index_select(0, kept)
    projection.replace(weight, None if bias is None else bias.detach())
