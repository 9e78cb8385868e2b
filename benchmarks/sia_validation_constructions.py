"""Models of which theory says whether scores of single units can be trusted, built out of trained tiny ones.

Most constructions leave the function as it is and change only among which units it is shared out. They fill
spare units: the base model is trained with half of its heads and channels silent.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from secateur.core.seeds import generator
from secateur.models.binding import BoundLayer, BoundProjection, bind
from secateur.sia.measured.gating import unit_columns
from secateur.structure.closure import role_features
from secateur.structure.units import Unit

KINDS = ("group", "channel")
CANCELLING = 3.0
"""Length of what a cancelling unit writes, over the mean one of its layer."""

RESCALED = 32.0
"""Largest factor by which values and outputs, or up and down, are scaled against each other."""

DROPPED = 2 / 3
"""Probability that one of two stand-ins is missing while they are trained."""


def silent_units(layer: BoundLayer, kind: str) -> range:
    """Return the spare units of a layer: the second half."""
    n = layer.units(kind)
    return range(n // 2, n)


@torch.no_grad()
def silence(model: nn.Module) -> None:
    """Let spare units write nothing."""
    for layer in bind(model).layers:
        for kind in KINDS:
            for unit in silent_units(layer, kind):
                scale_output(layer, kind, unit, 0.0)


def _parts(layer: BoundLayer, kind: str) -> list[tuple[BoundProjection, str, np.ndarray]]:
    """Each role of a kind with the places of every unit: (units, features)."""
    n = layer.units(kind)
    return [
        (projection, role, places.reshape(n, -1))
        for projection in layer.projections_of(kind)
        for role, places in role_features(projection.spec, layer.widths).items()
    ]


@torch.no_grad()
def copy_unit(layer: BoundLayer, kind: str, source: int, target: int) -> None:
    """Give a unit all weights of another one."""
    for projection, _, places in _parts(layer, kind):
        weight, axis = projection.module.weight, projection.spec.unit_axis
        moved = weight.index_select(axis, torch.from_numpy(places[source])).clone()
        weight.index_copy_(axis, torch.from_numpy(places[target]), moved)
        if projection.module.bias is not None and projection.spec.bias_follows_units:
            projection.module.bias[places[target]] = projection.module.bias[places[source]].clone()


@torch.no_grad()
def scale_role(layer: BoundLayer, kind: str, role: str, unit: int, factor: float) -> None:
    """Scale the slices of one role of a unit, with their biases."""
    for projection, found, places in _parts(layer, kind):
        if found != role:
            continue
        index = torch.from_numpy(places[unit])
        weight, axis = projection.module.weight, projection.spec.unit_axis
        weight.index_copy_(axis, index, weight.index_select(axis, index) * factor)
        if projection.module.bias is not None and projection.spec.bias_follows_units:
            projection.module.bias[index] *= factor


def scale_output(layer: BoundLayer, kind: str, unit: int, factor: float) -> None:
    """Scale what a unit writes."""
    scale_role(layer, kind, "o" if kind == "group" else "down", unit, factor)


@torch.no_grad()
def _write(layer: BoundLayer, kind: str, unit: int, columns: Tensor) -> None:
    """Set what a unit writes, (features of the unit, hidden)."""
    output = layer.projection("o" if kind == "group" else "down")
    index, axis = torch.from_numpy(unit_columns(layer, kind, [unit])), output.spec.unit_axis
    output.module.weight.index_copy_(axis, index, columns.T if axis == 1 else columns)


@torch.no_grad()
def _written(layer: BoundLayer, kind: str, unit: int) -> Tensor:
    output = layer.projection("o" if kind == "group" else "down")
    index, axis = torch.from_numpy(unit_columns(layer, kind, [unit])), output.spec.unit_axis
    found = output.module.weight.index_select(axis, index)
    return (found.T if axis == 1 else found).clone()


def twins(model: nn.Module) -> None:
    """Split every unit into two equal halves: one of each pair can go at a quarter of the pair's cost."""
    for layer in bind(model).layers:
        for kind in KINDS:
            n = layer.units(kind)
            for unit in range(n // 2):
                copy_unit(layer, kind, unit, n // 2 + unit)
                scale_output(layer, kind, unit, 0.5)
                scale_output(layer, kind, n // 2 + unit, 0.5)


def cancelling(model: nn.Module) -> None:
    """Fill the spare units with pairs that write w and -w: each costs much alone, both together nothing."""
    for layer in bind(model).layers:
        for kind in KINDS:
            n = layer.units(kind)
            spare, draw = list(silent_units(layer, kind)), generator(0, "cancelling", layer.index, kind)
            length = float(np.mean([_written(layer, kind, unit).norm() for unit in range(n // 2)]))
            for number, (one, other) in enumerate(zip(spare[::2], spare[1::2], strict=False)):
                shape = _written(layer, kind, one).shape
                columns = torch.from_numpy(draw.normal(size=shape)).float()
                columns *= CANCELLING * length / columns.norm()
                for unit, sign in ((one, 1.0), (other, -1.0)):
                    copy_unit(layer, kind, number, unit)
                    _write(layer, kind, unit, sign * columns)


def rescaled(model: nn.Module) -> None:
    """Scale values up and outputs down by as much, and up and down where the FFN is gated."""
    bound = bind(model)
    for layer in bound.layers:
        pairs = [("group", "v", "o")] + [("channel", "up", "down")] * bound.spec.is_gated
        for kind, inner, outer in pairs:
            draw = generator(0, "rescaled", layer.index, kind)
            for unit in range(layer.units(kind)):
                factor = float(np.exp(draw.uniform(-1, 1) * np.log(RESCALED)))
                scale_role(layer, kind, inner, unit, factor)
                scale_role(layer, kind, outer, unit, 1 / factor)


def as_trained(model: nn.Module) -> None:
    """Leave the model alone."""


@contextmanager
def stand_ins(model: nn.Module, draw: np.random.Generator):
    """Train so that half of the units come in pairs, one of which is often missing.

    Units 2i and 2i + 1 of the first half are a pair, of which never both are missing; no other unit ever is.
    Either can stand in for the other, so each alone costs little, and both together what they carry. Drawn
    for each sequence; for each token where a family passes the tokens of all sequences as rows (OPT's FFN).
    """
    handles = []

    def dropping(layer: BoundLayer, kind: str) -> Callable:
        n = layer.units(kind)
        columns = [torch.from_numpy(unit_columns(layer, kind, [unit])) for unit in range(n)]

        def before(_module: nn.Module, args: tuple) -> tuple:
            z = args[0]
            kept = torch.ones(len(z), z.shape[-1])
            for first in range(0, n // 2 - 1, 2):
                gone = draw.random(len(z)) < DROPPED
                which = draw.integers(2, size=len(z))
                for offset in (0, 1):
                    rows = torch.from_numpy(np.flatnonzero(gone & (which == offset)))
                    kept[rows[:, None], columns[first + offset]] = 0.0
            return (z * kept.view(len(z), *[1] * (z.ndim - 2), -1), *args[1:])

        return before

    try:
        for layer in bind(model).layers:
            for kind in KINDS:
                handles.append(layer.output(kind).register_forward_pre_hook(dropping(layer, kind)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True, kw_only=True)
class Construction:
    """A model made on purpose.

    Parameters
    ----------
    base : {"plain", "spare", "stand-ins", "parity"}
        How the model that it starts from is trained.
    build : callable
        Changes that model in place.
    theory : str
        What is to be expected.
    """

    base: str
    build: Callable[[nn.Module], None]
    theory: str


CONSTRUCTIONS: dict[str, Construction] = {
    "as trained": Construction(base="plain", build=as_trained, theory="scores help"),
    "rescaled": Construction(
        base="plain", build=rescaled, theory="same function; magnitude says nothing, the others as before"
    ),
    "twins": Construction(
        base="spare", build=twins, theory="one of each pair is nearly free; equal scores take both"
    ),
    "cancelling pairs": Construction(
        base="spare",
        build=cancelling,
        theory="half of the units are worth nothing together and look dearest alone",
    ),
    "stand-ins": Construction(
        base="stand-ins", build=as_trained, theory="pairs look cheap one by one; scores take both of a pair"
    ),
    "parity": Construction(
        base="parity", build=as_trained, theory="no redundancy: every part of the circuit breaks the whole"
    ),
}


def known_best(construction: str, layer: BoundLayer, kind: str, count: int, draw: np.random.Generator):
    """Return units of a layer that theory says to remove; None where it does not say.

    One of each pair of twins; cancelling pairs whole; one of each pair of stand-ins.
    """
    n = layer.units(kind)
    if construction == "twins" and count <= n // 2:
        chosen = draw.permutation(n // 2)[:count]
        return [Unit(kind=kind, layer=layer.index, index=int(index)) for index in chosen]
    if construction == "cancelling pairs" and count <= n // 2:
        return [Unit(kind=kind, layer=layer.index, index=n // 2 + index) for index in range(count // 2 * 2)]
    if construction == "stand-ins" and count <= n // 4:
        chosen = 2 * draw.permutation(n // 4)[:count]
        return [Unit(kind=kind, layer=layer.index, index=int(index)) for index in chosen]
    return None
