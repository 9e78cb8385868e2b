"""Which units go when a fraction of a component is removed: equally many in every layer, the least first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from secateur.sia.components import Component
from secateur.structure.counting import (
    block_parameters,
    head_parameters,
    layer_parameters,
    unit_parameters,
)
from secateur.structure.plan import PruningPlan
from secateur.structure.shape import ModelShape
from secateur.structure.spec import Role
from secateur.structure.units import Unit, units
from secateur.surgery.apart import ApartLayer, ApartPlan

RoleScores = Sequence[Mapping[Role, np.ndarray]]
"""For each layer, what each matrix scores its own units."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A part to remove.

    Parameters
    ----------
    fraction : float
        Units that go, of all units of the component.
    parameters : float
        Parameters that go, of all parameters of the blocks.
    counts : tuple of int
        Units that go from each layer; for ``layer`` their number alone.
    """

    fraction: float
    parameters: float
    counts: tuple[int, ...]


def choices(
    family: str, shape: ModelShape, component: Component, fractions: Sequence[float]
) -> tuple[Choice, ...]:
    """Return the different parts that fractions come to, ascending.

    Query heads go in equal number from every group, as a cut model needs it; numbers are rounded down, so
    that each layer keeps a unit.

    Parameters
    ----------
    family, shape
        The model.
    component : Component
    fractions : sequence of float
        Wanted, each below 1.
    """
    total = block_parameters(family, shape)
    found: dict[tuple[int, ...], Choice] = {}
    for fraction in sorted(fractions):
        counts = _counts(shape, component, fraction)
        if not any(counts):
            continue
        gone = sum(count * _parameters(family, shape, component, layer) for layer, count in enumerate(counts))
        whole = sum(_available(shape, component))
        found[counts] = Choice(fraction=sum(counts) / whole, parameters=gone / total, counts=counts)
    return tuple(found.values())


def _available(shape: ModelShape, component: Component) -> tuple[int, ...]:
    if component == "layer":
        return (shape.n_layers,)
    return {
        "group": shape.kv_groups_per_layer,
        "head": shape.heads_per_layer,
        "channel": shape.channels_per_layer,
        "matrix": shape.channels_per_layer,
    }[component]


def _counts(shape: ModelShape, component: Component, fraction: float) -> tuple[int, ...]:
    if component != "head":
        return tuple(int(fraction * count + 1e-9) for count in _available(shape, component))
    return tuple(
        int(fraction * shape.heads_per_group(layer) + 1e-9) * shape.kv_groups_per_layer[layer]
        for layer in range(shape.n_layers)
    )


def _parameters(family: str, shape: ModelShape, component: Component, layer: int) -> int:
    if component == "layer":
        return layer_parameters(family, shape, layer)
    if component == "head":
        return head_parameters(family, shape, layer)
    return unit_parameters(family, shape, layer, "group" if component == "group" else "channel")


def closed_removal(
    shape: ModelShape, component: Component, scores: np.ndarray, counts: Sequence[int]
) -> tuple[Unit, ...]:
    """Return the units that go when closed units are removed.

    Parameters
    ----------
    shape : ModelShape
    component : {"layer", "group", "head", "channel"}
    scores : ndarray, shape (units,)
        Of all units of the component, layer by layer; the lowest go.
    counts : sequence of int
        Of :class:`Choice`.
    """
    assert component != "matrix", "a matrix is no unit"
    everything = units(shape, component)
    if component == "layer":
        return tuple(everything[position] for position in np.argsort(scores, kind="stable")[: counts[0]])
    chosen: list[Unit] = []
    for layer, count in enumerate(counts):
        places = np.array([position for position, unit in enumerate(everything) if unit.layer == layer])
        parts = places.reshape(shape.kv_groups_per_layer[layer] if component == "head" else 1, -1)
        for part in parts:
            lowest = part[np.argsort(scores[part], kind="stable")][: count // len(parts)]
            chosen += [everything[position] for position in lowest]
    return tuple(sorted(chosen))


def apart_removal(
    family: str,
    shape: ModelShape,
    component: Component,
    scores: RoleScores,
    counts: Sequence[int],
    *,
    gated: bool,
) -> ApartPlan:
    """Return the cut in which matrices choose by themselves, as many units as the closed cut removes.

    Parameters
    ----------
    family, shape
        The model.
    component : {"group", "head", "matrix"}
        ``matrix``: gate, up and down each keep their own best channels. ``group``: query heads are kept by
        the scores of ``q``, key/value heads by those of ``k``. ``head``: query heads alone, whatever group
        they read; ``o`` follows ``q`` and ``v`` follows ``k``.
    scores : sequence of mapping
        For each layer, what each matrix scores its own units.
    counts : sequence of int
        Of :class:`Choice`.
    gated : bool
        Whether the FFN has a gate.
    """
    whole = ApartPlan.of_closed(PruningPlan.identity(family, shape), gated=gated)
    layers = []
    for layer, own, count in zip(whole.layers, scores, counts, strict=True):
        kept = dict(layer.kept)
        if component == "matrix":
            channels = shape.channels_per_layer[layer.index] - count
            kept |= {role: _best(own[role], channels) for role in ("gate", "up", "down") if role in kept}
        else:
            sharing = shape.heads_per_group(layer.index)
            gone = count * sharing if component == "group" else count
            kept["q"] = kept["o"] = _best(own["q"], shape.heads_per_layer[layer.index] - gone)
            if component == "group":
                kept["k"] = kept["v"] = _best(own["k"], shape.kv_groups_per_layer[layer.index] - count)
        layers.append(ApartLayer(index=layer.index, kept=kept))
    return ApartPlan(family=family, shape=shape, layers=tuple(layers))


def _best(scores: np.ndarray, kept: int) -> tuple[int, ...]:
    return tuple(np.sort(np.argsort(-scores, kind="stable")[:kept]).tolist())
