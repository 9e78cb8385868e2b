"""Plans as JSON: what a checkpoint keeps beside its tensors."""

from __future__ import annotations

from operator import index as as_integer
from typing import Any

from secateur.core.errors import PlanError
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.structure.shape import ModelShape

PLAN_VERSION = 2
READABLE_VERSIONS = (1, 2)
"""Version 1 knew neither heads inside groups, nor cross-attention, nor tokens."""


def plan_to_json(plan: PruningPlan) -> dict[str, Any]:
    """Return a plan as plain JSON values."""
    return {
        "version": PLAN_VERSION,
        "family": plan.family,
        "shape": plan.shape.to_json(),
        "layers": [_layer_to_json(layer) for layer in plan.layers],
        "tokens": None if plan.tokens is None else list(plan.tokens),
    }


def plan_from_json(value: dict[str, Any]) -> PruningPlan:
    """Read a plan back from :func:`plan_to_json`.

    Raises
    ------
    PlanError
        If a field is missing, unknown or of the wrong kind, or the indices are not valid.
    """
    try:
        if value["version"] not in READABLE_VERSIONS:
            raise PlanError(
                f"the plan has version {value['version']!r}; this release reads versions "
                f"{' and '.join(map(str, READABLE_VERSIONS))}."
            )
        tokens = value.get("tokens")
        return PruningPlan(
            family=str(value["family"]),
            shape=ModelShape.from_json(value["shape"]),
            layers=tuple(_layer_from_json(layer) for layer in value["layers"]),
            tokens=None if tokens is None else _integers(tokens),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PlanError(
            f"the plan is not readable ({type(error).__name__}: {error}); it needs version, family, "
            "shape and layers, each layer with index, groups and channels."
        ) from None


def _layer_to_json(layer: LayerPlan) -> dict[str, Any]:
    value: dict[str, Any] = {
        "index": layer.index,
        "groups": list(layer.groups),
        "channels": list(layer.channels),
    }
    if layer.heads:
        value["heads"] = [list(heads) for heads in layer.heads]
    if layer.cross_groups:
        value["cross_groups"] = list(layer.cross_groups)
    return value


def _layer_from_json(value: dict[str, Any]) -> LayerPlan:
    return LayerPlan(
        index=as_integer(value["index"]),
        groups=_integers(value["groups"]),
        channels=_integers(value["channels"]),
        heads=tuple(_integers(heads) for heads in value.get("heads", ())),
        cross_groups=_integers(value.get("cross_groups", ())),
    )


def _integers(values: Any) -> tuple[int, ...]:
    return tuple(map(as_integer, values))
