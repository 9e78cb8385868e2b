"""FFN channels: a channel leaves with its row of up (and gate) and its column of down."""

from __future__ import annotations

from secateur.models.binding import BoundLayer
from secateur.surgery.slices import keep_units


def keep_channels(layer: BoundLayer, channels: tuple[int, ...]) -> None:
    """Keep ``channels`` (positions in the layer as it stands) in place."""
    widths = layer.widths
    if len(channels) == widths.channels:
        return
    for projection in layer.projections_of("channel"):
        keep_units(projection, widths, channels)
    layer.update_attributes()
