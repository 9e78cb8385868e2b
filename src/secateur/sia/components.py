"""Component definitions: what one takes for a unit, closed or not, and which weights it would take along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from secateur.structure.closure import LayerWidths, WeightSlice, closure, role_features
from secateur.structure.shape import ModelShape
from secateur.structure.spec import ROLES_OF, ArchitectureSpec, Role, StackSpec, UnitKind
from secateur.structure.units import Unit, units

Component = Literal["layer", "group", "head", "channel", "matrix"]
"""A definition of what is removed as one.

- ``layer``: a residual block;
- ``group``: a key/value group, that is a key head, a value head and all query heads that read them; in
  multi-head attention a group is a head. Groups of an attention over an encoder count as well;
- ``head``: one query head by itself, where several share a key and a value;
- ``channel``: an FFN neuron with its entry in every matrix: gate, up and down, or up and down;
- ``matrix``: a row or column of one FFN matrix, chosen for itself.
"""

COMPONENTS: tuple[Component, ...] = get_args(Component)

CLOSED_COMPONENTS: tuple[Component, ...] = ("layer", "group", "channel")
"""Definitions whose parts share no weight with each other, in every family."""

CLOSED_FORM: dict[Component, Component] = {
    "layer": "layer",
    "group": "group",
    "head": "group",
    "channel": "channel",
    "matrix": "channel",
}
"""The closed definition that takes the place of each."""

KINDS: dict[Component, tuple[UnitKind, ...]] = {
    "layer": ("layer",),
    "group": ("group", "cross_group"),
    "head": ("head",),
    "channel": ("channel",),
    "matrix": ("channel",),
}
"""Kinds of unit that the parts of each definition are, or lie in."""


@dataclass(frozen=True, kw_only=True, order=True)
class Part:
    """One thing to remove under a component definition.

    Parameters
    ----------
    component : Component
        The definition.
    unit : Unit
        The unit that it is; for ``matrix`` the channel that it is a piece of.
    role : {"gate", "up", "down"}, optional
        The matrix, for ``matrix`` alone.
    """

    component: Component
    unit: Unit
    role: Role | None = None


def present(shape: ModelShape) -> tuple[Component, ...]:
    """Return the definitions that make a difference in a model.

    ``head`` is left out where no key or value is shared: there it is the group.
    """
    return tuple(component for component in COMPONENTS if component != "head" or shape.shares_keys)


def parts(
    spec: ArchitectureSpec, shape: ModelShape, component: Component, *, layer: int | None = None
) -> tuple[Part, ...]:
    """Return everything that a definition offers for removal, layer by layer.

    Parameters
    ----------
    spec : ArchitectureSpec
        The family.
    shape : ModelShape
        The model.
    component : Component
        The definition.
    layer : int, optional
        Of this layer alone.

    Returns
    -------
    tuple of Part
        For ``head`` every query head, also in layers where it has a key and a value of its own.
    """
    found = []
    for kind in KINDS[component]:
        for unit in units(shape, kind):
            if layer is not None and unit.layer != layer:
                continue
            stack = spec.stacks[shape.stack_of(unit.layer)]
            roles = ffn_roles(stack) if component == "matrix" else (None,)
            found += [Part(component=component, unit=unit, role=role) for role in roles]
    return tuple(sorted(found, key=lambda part: part.unit.layer))


def ffn_roles(stack: StackSpec) -> tuple[Role, ...]:
    """Return the FFN matrices of a stack: gate, up and down, or up and down."""
    return tuple(role for role in ROLES_OF["channel"] if role != "gate" or stack.is_gated)


def removed(spec: ArchitectureSpec, shape: ModelShape, part: Part) -> tuple[WeightSlice, ...]:
    """Return the weights that a part names, no more: whether others must follow is not asked.

    A query head names its key and value too where no other head reads them.
    """
    unit = part.unit
    if part.component == "head" and shape.heads_per_group(unit.layer) == 1:
        return closure(spec, shape, Unit(kind="group", layer=unit.layer, index=unit.index))
    if part.role is None:
        return closure(spec, shape, unit)
    return _row_of_one_matrix(spec, shape, unit, part.role)


def _row_of_one_matrix(
    spec: ArchitectureSpec, shape: ModelShape, unit: Unit, role: Role
) -> tuple[WeightSlice, ...]:
    widths, stack = LayerWidths.of(shape, unit.layer), spec.stacks[shape.stack_of(unit.layer)]
    projection = next(matrix for matrix in stack.projections_of("channel") if role in matrix.roles)
    places = np.atleast_1d(role_features(projection, widths)[role][unit.index])
    indices = tuple(places.tolist())
    slices = [
        WeightSlice(
            layer=unit.layer,
            parameter=f"{projection.module}.weight",
            axis=projection.unit_axis,
            indices=indices,
        )
    ]
    if projection.bias_follows_units and role in shape.biased_roles:
        bias = f"{projection.module}.bias"
        slices.append(WeightSlice(layer=unit.layer, parameter=bias, axis=0, indices=indices))
    return tuple(slices)
