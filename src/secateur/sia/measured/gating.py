"""Units taken out of a model for a while, without touching a weight.

A unit's term enters the residual stream through the input of an output projection (:mod:`scoring.gates`).
Setting those columns to zero removes the term and nothing else, so the model computes what the cut one would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from secateur.core.errors import UnsupportedArchitecture
from secateur.models.binding import BoundLayer, BoundModel
from secateur.models.skipping import skipped
from secateur.structure.closure import role_features
from secateur.structure.plan import PruningPlan
from secateur.structure.spec import OUTPUT_ROLE, UnitKind, WidthKind
from secateur.structure.units import Unit
from secateur.surgery.masks import mask

SOURCE: Mapping[UnitKind, WidthKind] = {
    "group": "group",
    "head": "group",
    "cross_group": "cross_group",
    "channel": "channel",
}
"""Kind whose output projection a unit goes through."""


@contextmanager
def removed(bound: BoundModel, units: Iterable[Unit]) -> Iterator[None]:
    """Let the model compute without these units while the block runs.

    Layers are skipped; all others are gated. Where a norm runs over all queries or keys, the removal of a
    group changes its statistics: there :func:`secateur.surgery.masks.mask` takes the groups out.

    Parameters
    ----------
    bound : BoundModel
    units : iterable of Unit
        Of any kinds and layers.

    Raises
    ------
    UnsupportedArchitecture
        For single query heads under a norm over all queries, which no mask can take out.
    """
    by_place: dict[tuple[int, UnitKind], list[int]] = {}
    for unit in units:
        by_place.setdefault((unit.layer, unit.kind), []).append(unit.index)
    layers = bound.layers
    skipped_layers = sorted(layer for layer, kind in by_place if kind == "layer")
    masked: dict[int, list[int]] = {}
    with ExitStack() as undone:
        for (position, kind), indices in sorted(by_place.items()):
            layer = layers[position]
            if kind == "layer" or position in skipped_layers:
                continue
            if kind in ("group", "head") and has_norm_over_heads(layer):
                masked.setdefault(position, []).extend(_groups_of(layer, kind, indices))
                continue
            columns = torch.from_numpy(unit_columns(layer, kind, indices))
            hook = layer.output(SOURCE[kind]).register_forward_pre_hook(_zeroing(columns))
            undone.callback(hook.remove)
        if masked:
            undone.enter_context(mask(bound.model, _plan_without(bound, masked)))
        undone.enter_context(skipped(bound, skipped_layers))
        yield


def unit_columns(layer: BoundLayer, kind: UnitKind, indices: Iterable[int]) -> np.ndarray:
    """Return where units stand in the input of their output projection, int64, ascending."""
    role = OUTPUT_ROLE[SOURCE[kind]]
    places = role_features(layer.projection(role).spec, layer.widths)[role]
    rows = places.reshape(-1, layer.head_dim) if kind == "head" else places.reshape(len(places), -1)
    return np.sort(rows[sorted(indices)].reshape(-1))


def has_norm_over_heads(layer: BoundLayer) -> bool:
    """Whether a norm takes its statistics over all queries or all keys."""
    return any(spec.size in ("q", "k") for spec, _ in layer.norms.values())


def _zeroing(columns: Tensor) -> Callable[[nn.Module, tuple], tuple]:
    def before(_module: nn.Module, args: tuple) -> tuple:
        return (args[0].index_fill(-1, columns.to(args[0].device), 0.0), *args[1:])

    return before


def _groups_of(layer: BoundLayer, kind: UnitKind, indices: list[int]) -> list[int]:
    if kind == "head" and layer.heads_per_group > 1:
        raise UnsupportedArchitecture(
            f"in layer {layer.index} a norm runs over all queries, so that a query head cannot be taken out "
            "alone without changing its neighbours. Measure KV groups (component 'group') instead."
        )
    return indices


def _plan_without(bound: BoundModel, groups: Mapping[int, list[int]]) -> PruningPlan:
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    for position, gone in groups.items():
        kept = set(plan.layers[position].groups) - set(gone)
        plan = plan.with_groups(position, kept)
    return plan
