"""Layers: a residual block leaves whole, and what stays is renumbered."""

from __future__ import annotations

from secateur.models.binding import BoundModel


def keep_layers(bound: BoundModel, layers: tuple[int, ...]) -> None:
    """Keep ``layers`` (positions in the model as it stands) in place."""
    if len(layers) != len(bound.layers):
        bound.keep_layers(layers)
