"""Closures: every weight slice that the removal of a unit forces (its coupling, declared by the spec)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from secateur.structure.plan import LayerPlan
from secateur.structure.shape import ModelShape
from secateur.structure.spec import (
    KIND_OF,
    QUERY_ROLES,
    ArchitectureSpec,
    NormSpec,
    ProjectionSpec,
    Role,
    StackSpec,
)
from secateur.structure.units import Unit


@dataclass(frozen=True, kw_only=True)
class LayerWidths:
    """Numbers of units and their widths in one layer."""

    hidden: int
    head_dim: int
    heads: int
    groups: int
    channels: int
    cross_heads: int = 0
    cross_groups: int = 0
    channels_per_expert: tuple[int, ...] = ()

    @classmethod
    def of(cls, shape: ModelShape, layer: int) -> LayerWidths:
        """Return the widths of ``layer`` (position in the shape)."""
        return cls(
            hidden=shape.hidden,
            head_dim=shape.head_dim,
            heads=shape.heads_per_layer[layer],
            groups=shape.kv_groups_per_layer[layer],
            channels=shape.channels_per_layer[layer],
            cross_heads=shape.cross_heads_per_layer[layer],
            cross_groups=shape.cross_groups_per_layer[layer],
            channels_per_expert=shape.channels_per_expert[layer] if shape.has_experts else (),
        )

    @cached_property
    def heads_per_group(self) -> int:
        """Query heads that read one key/value group."""
        return self.heads // self.groups

    @property
    def attention_width(self) -> int:
        """Features of the queries, and of the input of the attention's output projection."""
        return self.heads * self.head_dim

    @property
    def key_width(self) -> int:
        """Features of the keys, and of the values."""
        return self.groups * self.head_dim

    def role_shape(self, role: Role) -> tuple[int, ...]:
        """Return what the features of a role are made of.

        (groups, heads a group, head_dim) for queries and attention outputs, (groups, head_dim) for keys and
        values, (channels,) in the FFN.
        """
        if KIND_OF[role] == "channel":
            return (self.channels,)
        heads, groups = (
            (self.heads, self.groups) if KIND_OF[role] == "group" else (self.cross_heads, self.cross_groups)
        )
        return (groups, heads // groups, self.head_dim) if role in QUERY_ROLES else (groups, self.head_dim)

    def features(self, projection: ProjectionSpec) -> int:
        """Size of the projection's weight along the axis on which units lie."""
        return sum(prod(self.role_shape(role)) for role in projection.roles)

    def seen_as(self, kind: str) -> LayerWidths:
        """Return widths whose ``heads`` and ``groups`` are those of the attention of ``kind``."""
        if kind != "cross_group":
            return self
        return LayerWidths(
            hidden=self.hidden,
            head_dim=self.head_dim,
            heads=self.cross_heads,
            groups=self.cross_groups,
            channels=self.channels,
        )


def role_features(projection: ProjectionSpec, widths: LayerWidths) -> dict[Role, np.ndarray]:
    """Return where the features of each role stand along the unit axis of a projection.

    A layout is an index array: whatever is to be done with units is indexing into it.

    Parameters
    ----------
    projection : ProjectionSpec
        The weight matrix.
    widths : LayerWidths
        Widths of the layer as it stands.

    Returns
    -------
    dict of Role to ndarray of int64
        Of the shape that :meth:`LayerWidths.role_shape` tells.
    """
    shapes = {role: widths.role_shape(role) for role in projection.roles}
    if projection.layout == "interleaved":
        return _interleaved(shapes)
    found, offset = {}, 0
    for role, shape in shapes.items():
        found[role] = offset + np.arange(prod(shape), dtype=np.int64).reshape(shape)
        offset += prod(shape)
    return found


def _interleaved(shapes: dict[Role, tuple[int, ...]]) -> dict[Role, np.ndarray]:
    """Group by group, each with its part of every role."""
    stride = sum(prod(shape[1:]) for shape in shapes.values())
    found, offset = {}, 0
    for role, (units, *inside) in shapes.items():
        within = offset + np.arange(prod(inside), dtype=np.int64).reshape(inside)
        starts = stride * np.arange(units, dtype=np.int64).reshape(units, *(1 for _ in inside))
        found[role] = starts + within
        offset += prod(inside)
    return found


def kept_features(projection: ProjectionSpec, widths: LayerWidths, kept: LayerPlan) -> np.ndarray:
    """Return the indices along the unit axis of a projection that stay.

    Parameters
    ----------
    projection : ProjectionSpec
        The weight matrix.
    widths : LayerWidths
        Widths of the layer before the cut.
    kept : LayerPlan
        What stays of it.

    Returns
    -------
    ndarray of int64
        Ascending; with all units kept, every index of the axis.
    """
    chosen = [_kept_of_role(role, places, kept) for role, places in role_features(projection, widths).items()]
    return np.sort(np.concatenate(chosen))


def kept_norm_features(norm: NormSpec, widths: LayerWidths, kept: LayerPlan) -> np.ndarray | None:
    """Return the indices of a norm's weight that stay; None for a norm that no unit has a part of."""
    if norm.size not in ("q", "k"):
        return None
    role: Role = norm.size
    shape = widths.role_shape(role)
    return np.sort(_kept_of_role(role, np.arange(prod(shape), dtype=np.int64).reshape(shape), kept))


def _kept_of_role(role: Role, places: np.ndarray, kept: LayerPlan) -> np.ndarray:
    kind = KIND_OF[role]
    if kind == "channel":
        return places[list(kept.channels)]
    if kind == "cross_group":
        return places[list(kept.cross_groups)].reshape(-1)
    groups = places[list(kept.groups)]
    if kept.heads and role in QUERY_ROLES:
        groups = np.take_along_axis(groups, np.asarray(kept.heads)[:, :, None], axis=1)
    return groups.reshape(-1)


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

    Closures of distinct groups, cross-attention groups and channels are disjoint; together they hold every
    parameter of the blocks except norms and the biases of output projections, which belong to the layer
    alone. Closures of heads lie inside those of their groups. Norms over all queries or all keys have a
    part in each group.
    """
    stack = spec.stacks[shape.stack_of(unit.layer)]
    widths = LayerWidths.of(shape, unit.layer)
    if unit.kind == "layer":
        return _layer_closure(stack, shape, widths, unit.layer)
    slices = []
    for projection in stack.projections_of(unit.kind):
        places = role_features(projection, widths).items()
        pieces = [part for role, array in places if (part := _part_of(unit, role, array)) is not None]
        if not pieces:
            continue
        indices = tuple(np.sort(np.concatenate(pieces)).tolist())
        slices.append(_slice(unit.layer, f"{projection.module}.weight", projection.unit_axis, indices))
        if projection.bias_follows_units and projection.roles[0] in shape.biased_roles:
            slices.append(_slice(unit.layer, f"{projection.module}.bias", 0, indices))
    for norm in present_norms(stack, shape, unit.layer):
        slices += _norm_slices(unit, norm, widths)
    return tuple(slices)


def present_norms(stack: StackSpec, shape: ModelShape, layer: int) -> tuple[NormSpec, ...]:
    """Return the normalisations that a layer of this model has."""
    return tuple(norm for norm in stack.norms if norm.module not in shape.absent_norms(layer))


def norm_length(norm: NormSpec, widths: LayerWidths) -> int:
    """Return the length of a norm's weight."""
    return {
        "hidden": widths.hidden,
        "head_dim": widths.head_dim,
        "q": widths.attention_width,
        "k": widths.key_width,
    }[norm.size]


def _part_of(unit: Unit, role: Role, places: np.ndarray) -> np.ndarray | None:
    """Return the features of ``role`` that belong to a unit, None where it has none."""
    if unit.kind == "head":
        if role not in QUERY_ROLES or KIND_OF[role] != "group":
            return None
        return places.reshape(-1, places.shape[-1])[unit.index]
    return places[unit.index].reshape(-1)


def _norm_slices(unit: Unit, norm: NormSpec, widths: LayerWidths) -> list[WeightSlice]:
    if norm.size not in ("q", "k") or unit.kind not in ("group", "head"):
        return []
    shape = widths.role_shape(norm.size)
    part = _part_of(unit, norm.size, np.arange(prod(shape), dtype=np.int64).reshape(shape))
    if part is None:
        return []
    indices = tuple(part.tolist())
    names = ("weight", "bias") if norm.bias else ("weight",)
    return [_slice(unit.layer, f"{norm.module}.{name}", 0, indices) for name in names]


def _layer_closure(
    stack: StackSpec, shape: ModelShape, widths: LayerWidths, layer: int
) -> tuple[WeightSlice, ...]:
    slices = []
    for projection in stack.projections:
        features = tuple(range(widths.features(projection)))
        slices.append(_slice(layer, f"{projection.module}.weight", projection.unit_axis, features))
        if projection.roles[0] in shape.biased_roles:
            entries = features if projection.bias_follows_units else tuple(range(shape.hidden))
            slices.append(_slice(layer, f"{projection.module}.bias", 0, entries))
    slices += [_slice(layer, name, 0, (0,)) for name in stack.ffn.activation]
    if stack.ffn.mixture is not None:
        experts = tuple(range(len(widths.channels_per_expert)))
        slices.append(_slice(layer, f"{stack.ffn.mixture.router}.weight", 0, experts))
    for norm in present_norms(stack, shape, layer):
        entries = tuple(range(norm_length(norm, widths)))
        slices.append(_slice(layer, f"{norm.module}.weight", 0, entries))
        if norm.bias:
            slices.append(_slice(layer, f"{norm.module}.bias", 0, entries))
    return tuple(slices)


def _slice(layer: int, parameter: str, axis: int, indices: tuple[int, ...]) -> WeightSlice:
    return WeightSlice(layer=layer, parameter=parameter, axis=axis, indices=indices)
