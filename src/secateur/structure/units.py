"""Units: what is removed as a whole. Layers, key/value groups (heads, in multi-head attention), channels."""

from __future__ import annotations

from dataclasses import dataclass

from secateur.structure.shape import ModelShape
from secateur.structure.spec import UnitKind


@dataclass(frozen=True, kw_only=True, order=True)
class Unit:
    """One unit of a model.

    Parameters
    ----------
    kind : {"layer", "group", "channel"}
        Granularity.
    layer : int
        Position of its layer.
    index : int
        Which group or channel of that layer; 0 for the layer itself.
    """

    kind: UnitKind
    layer: int
    index: int = 0


def units(shape: ModelShape, kind: UnitKind) -> tuple[Unit, ...]:
    """Return every unit of one kind, layer by layer."""
    counts = {
        "layer": (1,) * shape.n_layers,
        "group": shape.kv_groups_per_layer,
        "channel": shape.channels_per_layer,
    }[kind]
    return tuple(
        Unit(kind=kind, layer=layer, index=index)
        for layer, count in enumerate(counts)
        for index in range(count)
    )
