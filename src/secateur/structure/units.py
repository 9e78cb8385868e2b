"""Units: what is removed as a whole. Layers, key/value groups, query heads inside groups, channels."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.structure.shape import ModelShape
from secateur.structure.spec import UnitKind


@dataclass(frozen=True, kw_only=True, order=True)
class Unit:
    """One unit of a model.

    Parameters
    ----------
    kind : {"layer", "group", "cross_group", "head", "channel"}
        Granularity. A ``head`` is one query head; it lies inside a ``group``, which in multi-head attention
        it fills alone.
    layer : int
        Position of its layer.
    index : int
        Which group, head or channel of that layer; 0 for the layer itself.
    """

    kind: UnitKind
    layer: int
    index: int = 0


def units(shape: ModelShape, kind: UnitKind) -> tuple[Unit, ...]:
    """Return every unit of one kind, layer by layer."""
    counts = {
        "layer": (1,) * shape.n_layers,
        "group": shape.kv_groups_per_layer,
        "cross_group": shape.cross_groups_per_layer,
        "head": shape.heads_per_layer,
        "channel": shape.channels_per_layer,
    }[kind]
    return tuple(
        Unit(kind=kind, layer=layer, index=index)
        for layer, count in enumerate(counts)
        for index in range(count)
    )
