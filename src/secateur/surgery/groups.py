"""Key/value groups: a group leaves with its key rows, value rows, all its query rows and output columns."""

from __future__ import annotations

from secateur.models.binding import BoundLayer
from secateur.surgery.slices import keep_units


def keep_groups(layer: BoundLayer, groups: tuple[int, ...]) -> None:
    """Keep ``groups`` (positions in the layer as it stands) in place."""
    widths = layer.widths
    if len(groups) == widths.groups:
        return
    for projection in layer.projections_of("group"):
        keep_units(projection, widths, groups)
    layer.update_attributes()
