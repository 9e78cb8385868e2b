"""Closures: every weight slice that the removal of a unit forces (its coupling, declared by the spec)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from secateur.structure.shape import ModelShape
from secateur.structure.spec import ArchitectureSpec, ProjectionSpec, Role
from secateur.structure.units import Unit


@dataclass(frozen=True, kw_only=True)
class LayerWidths:
    """Numbers of units and their widths in one layer."""

    hidden: int
    head_dim: int
    heads: int
    groups: int
    channels: int

    @classmethod
    def of(cls, shape: ModelShape, layer: int) -> LayerWidths:
        """Return the widths of ``layer`` (position in the shape)."""
        return cls(
            hidden=shape.hidden,
            head_dim=shape.head_dim,
            heads=shape.heads_per_layer[layer],
            groups=shape.kv_groups_per_layer[layer],
            channels=shape.channels_per_layer[layer],
        )

    @cached_property
    def heads_per_group(self) -> int:
        """Query heads that read one key/value group."""
        return self.heads // self.groups

    @property
    def attention_width(self) -> int:
        """Input features of the attention's output projection."""
        return self.heads * self.head_dim

    def unit_width(self, role: Role) -> int:
        """Features that one unit occupies in the projection of ``role``."""
        if role in ("q", "o"):
            return self.heads_per_group * self.head_dim
        return self.head_dim if role in ("k", "v") else 1

    def unit_count(self, role: Role) -> int:
        """Units that lie in the projection of ``role``: groups or channels."""
        return self.groups if role in ("q", "k", "v", "o") else self.channels

    def features(self, projection: ProjectionSpec) -> int:
        """Size of the projection's weight along the axis on which units lie."""
        return sum(self.unit_count(role) * self.unit_width(role) for role in projection.roles)


def unit_features(projection: ProjectionSpec, widths: LayerWidths, units: tuple[int, ...]) -> np.ndarray:
    """Return the indices that units occupy along the unit axis of a projection.

    Parameters
    ----------
    projection : ProjectionSpec
        The weight matrix; fused roles lie one behind the other.
    widths : LayerWidths
        Widths of the layer as it stands.
    units : tuple of int
        Groups or channels, ascending.

    Returns
    -------
    ndarray of int64
        Ascending feature indices; with all units, every index of the axis.
    """
    chosen = np.asarray(units, dtype=np.int64)
    offset, pieces = 0, []
    for role in projection.roles:
        width = widths.unit_width(role)
        pieces.append((offset + chosen[:, None] * width + np.arange(width)).reshape(-1))
        offset += widths.unit_count(role) * width
    return np.concatenate(pieces)


@dataclass(frozen=True, kw_only=True)
class WeightSlice:
    """Indices along one axis of one parameter.

    Parameters
    ----------
    layer : int
        Position of the layer.
    parameter : str
        Path inside the block, such as ``"self_attn.q_proj.weight"``.
    axis : int
        Axis of the parameter.
    indices : tuple of int
        Rows or columns that belong to the unit, ascending.
    """

    layer: int
    parameter: str
    axis: int
    indices: tuple[int, ...]


def closure(spec: ArchitectureSpec, shape: ModelShape, unit: Unit) -> tuple[WeightSlice, ...]:
    """Return all weight slices that must go together when ``unit`` is removed.

    Closures of distinct groups and channels are disjoint; together they hold every parameter of the
    blocks except norms and the biases of output projections, which belong to the layer alone.
    """
    widths = LayerWidths.of(shape, unit.layer)
    if unit.kind == "layer":
        return _layer_closure(spec, shape, widths, unit.layer)
    slices = []
    for path, projection in spec.projections(unit.kind):
        indices = tuple(unit_features(projection, widths, (unit.index,)).tolist())
        slices.append(_slice(unit.layer, f"{path}.weight", projection.unit_axis, indices))
        if projection.bias_follows_units and projection.roles[0] in shape.biased_roles:
            slices.append(_slice(unit.layer, f"{path}.bias", 0, indices))
    return tuple(slices)


def _layer_closure(
    spec: ArchitectureSpec, shape: ModelShape, widths: LayerWidths, layer: int
) -> tuple[WeightSlice, ...]:
    hidden = tuple(range(shape.hidden))
    slices = []
    for path, projection in spec.projections():
        features = tuple(range(widths.features(projection)))
        slices.append(_slice(layer, f"{path}.weight", projection.unit_axis, features))
        if projection.roles[0] in shape.biased_roles:
            entries = features if projection.bias_follows_units else hidden
            slices.append(_slice(layer, f"{path}.bias", 0, entries))
    for norm in spec.norms:
        slices.append(_slice(layer, f"{norm.module}.weight", 0, hidden))
        if norm.bias:
            slices.append(_slice(layer, f"{norm.module}.bias", 0, hidden))
    return tuple(slices)


def _slice(layer: int, parameter: str, axis: int, indices: tuple[int, ...]) -> WeightSlice:
    return WeightSlice(layer=layer, parameter=parameter, axis=axis, indices=indices)
