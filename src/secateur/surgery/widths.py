"""Heads, groups and channels: each leaves with its rows and columns in every matrix that it has a part of."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from secateur.models.binding import BoundLayer, BoundProjection
from secateur.structure.closure import kept_features, kept_norm_features
from secateur.structure.plan import LayerPlan


def keep_widths(layer: BoundLayer, kept: LayerPlan) -> None:
    """Keep the units of a plan's layer in place; its indices count in the layer as it stands."""
    widths = layer.widths
    for projection in layer.all_projections:
        keep_in_projection(projection, kept_features(projection.spec, widths, kept))
    for spec, norm in layer.norms.values():
        features = kept_norm_features(spec, widths, kept)
        if features is not None:
            keep_in_norm(norm, features)
    layer.keep_dense_numbers(widths, kept)
    layer.update_attributes()


def keep_in_projection(projection: BoundProjection, features: np.ndarray) -> None:
    """Keep these features along the unit axis of a projection, in the order given."""
    if len(features) == projection.unit_features:
        return
    weight: Tensor = projection.module.get_parameter("weight")
    bias: Tensor | None = dict(projection.module.named_parameters(recurse=False)).get("bias")
    if bias is not None and projection.spec.bias_follows_units:
        bias = _selected(bias, 0, features)
    projection.replace(
        _selected(weight, projection.spec.unit_axis, features), None if bias is None else bias.detach()
    )


def keep_in_norm(norm: nn.Module, features: np.ndarray) -> None:
    """Keep these entries of a norm, in the order given."""
    for name, parameter in list(norm.named_parameters(recurse=False)):
        kept = nn.Parameter(_selected(parameter, 0, features), requires_grad=parameter.requires_grad)
        setattr(norm, name, kept)
    if hasattr(norm, "normalized_shape"):
        setattr(norm, "normalized_shape", (len(features),))  # noqa: B010 (a module's own attribute)


def _selected(tensor: Tensor, axis: int, features: np.ndarray) -> Tensor:
    return tensor.detach().index_select(axis, torch.from_numpy(features).to(tensor.device))
