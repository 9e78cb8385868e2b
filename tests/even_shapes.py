"""Shapes whose layers are all alike, and a latency table for them that is easily added up by hand."""

from __future__ import annotations

from typing import Any

from secateur.structure.latency import LatencyTable
from secateur.structure.plan import PruningPlan
from secateur.structure.shape import ModelShape


def even_shape(
    n_layers: int,
    *,
    hidden: int = 32,
    head_dim: int = 8,
    heads: int = 4,
    groups: int = 4,
    channels: int = 64,
    other: int = 1000,
    **more: Any,
) -> ModelShape:
    """Return the shape of equal layers; ``other`` parameters lie outside of them."""
    return ModelShape(
        n_layers=n_layers,
        hidden=hidden,
        head_dim=head_dim,
        heads_per_layer=(heads,) * n_layers,
        kv_groups_per_layer=(groups,) * n_layers,
        channels_per_layer=(channels,) * n_layers,
        other_parameters=other,
        **more,
    )


def whole(family: str, n_layers: int, **shape: Any) -> PruningPlan:
    """Return the plan that keeps all of such a model."""
    return PruningPlan.identity(family, even_shape(n_layers, **shape))


def even_table(**others: Any) -> LatencyTable:
    """Return the latencies of :func:`even_shape`: 1.5 ms front end, 0.5 ms outside, 2 ms for a whole layer.

    Without ``others``, a layer of one head takes 0.6 ms less, and one of at most 8 channels 0.8 ms less.
    """
    hand_made = {
        "family": "gpt2",
        "hidden": 32,
        "threads": 1,
        "tokens": (16,),
        "heads": (1, 4),
        "channels": (8, 64),
        "outside_ms": (0.5,),
        "heads_ms": ((1.4, 2.0),),
        "channels_ms": ((1.2, 2.0),),
        "window_tokens": 16,
        "front_end_ms": 1.5,
    }
    return LatencyTable(**hand_made | others)
