"""Couplings: what one unit of each kind owns of every weight matrix, as index formulas and in words.

:mod:`secateur.structure.closure` lists the slices of one unit; here the slices of *all* units of a layer are
told at once, as a formula in the unit's number: what a person needs in order to see what a cut takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import Literal

import numpy as np

from secateur.structure.closure import LayerWidths, present_norms, role_features
from secateur.structure.shape import ModelShape
from secateur.structure.spec import (
    KIND_OF,
    QUERY_ROLES,
    ArchitectureSpec,
    NormSpec,
    ProjectionSpec,
    Role,
    StackSpec,
)

CoupledKind = Literal["group", "head", "cross_group", "channel"]
SYMBOLS: dict[CoupledKind, tuple[str, ...]] = {
    "group": ("g",),
    "head": ("g", "h"),
    "cross_group": ("g",),
    "channel": ("j",),
}
"""Letters by which a unit is numbered; a query head by its group and its place inside it."""

PLURALS = {"row": "rows", "column": "columns", "entry": "entries"}


@dataclass(frozen=True, kw_only=True)
class Entries:
    """Neighbouring indices along one axis, as a formula in the number of the unit.

    Parameters
    ----------
    offset : int
        First index of unit 0.
    strides : tuple of (str, int)
        Letter and step of each number; a number that can only be 0 is left out.
    width : int
        How many indices.
    """

    offset: int
    strides: tuple[tuple[str, int], ...]
    width: int

    def first(self, **numbers: int) -> int:
        """Return the first index of a unit, such as ``first(g=2)``."""
        return self.offset + sum(stride * numbers[letter] for letter, stride in self.strides)

    @property
    def text(self) -> str:
        """The formula: ``j``, ``64g..64g+63``."""
        if self.width == 1:
            return self._term(self.offset)
        return f"{self._term(self.offset)}..{self._term(self.offset + self.width - 1)}"

    def _term(self, constant: int) -> str:
        terms = [letter if stride == 1 else f"{stride}{letter}" for letter, stride in self.strides]
        if constant or not terms:
            terms.append(str(constant))
        return "+".join(terms)


@dataclass(frozen=True, kw_only=True)
class Member:
    """What one unit owns of one role of a weight matrix, or of a norm.

    Parameters
    ----------
    module : str
        Path inside the block.
    role : str
        Role of the matrix, or ``"norm"``.
    axis : {"row", "column", "entry"}
        Rows or columns of the weight as it is stored; entries of a norm.
    entries : Entries
        Which.
    biased : bool
        Whether the same entries of the module's bias go along.
    """

    module: str
    role: Role | Literal["norm"]
    axis: Literal["row", "column", "entry"]
    entries: Entries
    biased: bool


@dataclass(frozen=True, kw_only=True)
class Coupling:
    """What goes together in one layer when a unit of one kind goes.

    Parameters
    ----------
    kind : {"group", "head", "cross_group", "channel"}
        Kind of unit.
    units : int
        How many the layer has.
    meaning : str
        What a unit is made of, in words.
    members : tuple of Member
        Its part of every matrix and norm.
    multiplied : tuple of str
        Two roles whose features are multiplied with each other, so that they must be cut alike; empty where
        there are none.
    names : dict of str to str
        Shortest clear name of every module.
    """

    kind: CoupledKind
    units: int
    meaning: str
    members: tuple[Member, ...]
    multiplied: tuple[str, ...]
    names: dict[str, str]

    @property
    def places(self) -> str:
        """Rows and columns in words; modules with equal ones are named together."""
        parts: dict[str, list[str]] = {}
        for module, own in groupby(self.members, key=lambda member: member.module):
            members = list(own)
            fused = len(members) > 1
            ranges = ", ".join(
                f"{member.entries.text} ({member.role})" if fused else member.entries.text
                for member in members
            )
            several = fused or members[0].entries.width > 1
            axis = PLURALS[members[0].axis] if several else members[0].axis
            parts.setdefault(f"{axis} {ranges}", []).append(self.names[module])
        text = "; ".join(f"{where} of {_listed(modules)}" for where, modules in parts.items())
        biased = [self.names[module] for module in dict.fromkeys(m.module for m in self.members if m.biased)]
        return f"{text}; the same entries of the bias of {_listed(biased)}" if biased else text

    @property
    def statement(self) -> str:
        """All of it in one sentence."""
        return f"{self.meaning}: {self.places}"


def couplings(spec: ArchitectureSpec, shape: ModelShape, layer: int) -> tuple[Coupling, ...]:
    """Return what goes together in a layer, for each kind of unit inside it.

    Query heads have an entry of their own where several share a key and a value; elsewhere a head is a group.

    Parameters
    ----------
    spec : ArchitectureSpec
        The family.
    shape : ModelShape
        Widths of the model.
    layer : int
        Position of the layer.
    """
    stack, widths = spec.stacks[shape.stack_of(layer)], LayerWidths.of(shape, layer)
    kinds: list[CoupledKind] = ["group"]
    if widths.heads_per_group > 1:
        kinds.append("head")
    if widths.cross_groups:
        kinds.append("cross_group")
    kinds.append("channel")
    return tuple(_coupling(stack, shape, layer, kind) for kind in kinds)


def _coupling(stack: StackSpec, shape: ModelShape, layer: int, kind: CoupledKind) -> Coupling:
    widths = LayerWidths.of(shape, layer)
    members = [
        _member(projection, role, places, kind, shape)
        for projection in stack.projections_of(kind)
        for role, places in role_features(projection, widths).items()
        if kind != "head" or role in QUERY_ROLES
    ]
    for norm in present_norms(stack, shape, layer):
        if (norm.size, kind) in (("q", "group"), ("q", "head"), ("k", "group")):
            members.append(_norm_member(norm, widths, kind))
    seen = widths.seen_as(kind)
    units = {"channel": widths.channels, "head": widths.heads}.get(kind, seen.groups)
    multiplied = {"channel": ("gate", "up") if stack.is_gated else (), "cross_group": ("cross_q", "cross_k")}
    return Coupling(
        kind=kind,
        units=units,
        meaning=_meaning(kind, seen),
        members=tuple(members),
        multiplied=multiplied.get(kind, ("q", "k")),
        names=_short_names(stack),
    )


def _member(
    projection: ProjectionSpec, role: Role, places: np.ndarray, kind: CoupledKind, shape: ModelShape
) -> Member:
    return Member(
        module=projection.module,
        role=role,
        axis="row" if projection.unit_axis == 0 else "column",
        entries=_entries(places, kind),
        biased=projection.bias_follows_units and role in shape.biased_roles,
    )


def _norm_member(norm: NormSpec, widths: LayerWidths, kind: CoupledKind) -> Member:
    role: Role = "q" if norm.size == "q" else "k"
    shape = widths.role_shape(role)
    places = np.arange(prod(shape), dtype=np.int64).reshape(shape)
    return Member(
        module=norm.module, role="norm", axis="entry", entries=_entries(places, kind), biased=norm.bias
    )


def _entries(places: np.ndarray, kind: CoupledKind) -> Entries:
    """Tell an index array as a formula: its first axes number the unit, the rest lies side by side."""
    letters = SYMBOLS[kind]
    by_unit = places.reshape(*places.shape[: len(letters)], -1)
    offset = int(by_unit.flat[0])
    strides: list[tuple[str, int]] = []
    rebuilt = offset + np.arange(by_unit.shape[-1])
    for axis in reversed(range(len(letters))):
        step = int((by_unit.take(1, axis) - by_unit.take(0, axis)).flat[0]) if by_unit.shape[axis] > 1 else 0
        if step:
            strides.insert(0, (letters[axis], step))
        steps = step * np.arange(by_unit.shape[axis])
        rebuilt = steps.reshape(-1, *(1 for _ in range(rebuilt.ndim))) + rebuilt
    assert np.array_equal(rebuilt, by_unit), f"the layout of a {kind} is no formula in its number"
    return Entries(offset=offset, strides=tuple(strides), width=by_unit.shape[-1])


def _meaning(kind: CoupledKind, widths: LayerWidths) -> str:
    if kind == "channel":
        return "one channel j"
    if kind == "head":
        if widths.groups == 1:
            return "one query head h of the one KV group"
        return "one query head h of KV group g (the same number in each group of a layer)"
    crossing = "cross-attention " if kind == "cross_group" else ""
    sharing = widths.heads // widths.groups
    if sharing == 1:
        return f"one {crossing}head g = query, key and value head g"
    if widths.groups == 1:
        return f"the one {crossing}KV group = the key head + the value head + query heads 0..{sharing - 1}"
    queries = Entries(offset=0, strides=(("g", sharing),), width=sharing).text
    return f"one {crossing}KV group g = key head g + value head g + query heads {queries}"


def _short_names(stack: StackSpec) -> dict[str, str]:
    """Return the last part of every module's path, or the whole path where that is not unique."""
    entries: tuple[ProjectionSpec | NormSpec, ...] = (*stack.projections, *stack.norms)
    paths = [entry.module for entry in entries]
    last = [path.rpartition(".")[2] for path in paths]
    return {path: name if last.count(name) == 1 else path for path, name in zip(paths, last, strict=True)}


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def notes(spec: ArchitectureSpec, shape: ModelShape, layer: int) -> tuple[str, ...]:
    """Return in words what else a cut of a layer must respect: fused matrices, products, norms, slopes."""
    stack, widths = spec.stacks[shape.stack_of(layer)], LayerWidths.of(shape, layer)
    names = _short_names(stack)
    told = [_fusion(projection, names[projection.module]) for projection in stack.projections]
    told += ["q x k: query and key features are multiplied inside each head and are cut together"]
    if stack.is_gated:
        told.append("gate x up: their rows are multiplied channel by channel and are cut together")
    told += [_norm_note(norm, names[norm.module], widths) for norm in present_norms(stack, shape, layer)]
    slopes = [entry.argument for attention in stack.attentions for entry in attention.head_inputs]
    if slopes:
        told.append(
            f"ALiBi slopes (in {_listed(slopes)}), where used, are one a query head: kept heads keep theirs"
        )
    kept = [
        names[projection.module]
        for projection in stack.projections
        if not projection.bias_follows_units and projection.roles[0] in shape.biased_roles
    ]
    if kept:
        told.append(f"the bias of {_listed(kept)} belongs to the layer, not to a unit")
    return tuple(note for note in told if note)


def _fusion(projection: ProjectionSpec, name: str) -> str:
    roles = _listed([role.removeprefix("cross_") for role in projection.roles])
    if projection.layout == "concatenated":
        return f"{name} holds {roles}, one behind the other"
    if projection.layout == "interleaved":
        unit = {"group": "group", "cross_group": "group", "channel": "channel"}[KIND_OF[projection.roles[0]]]
        return f"{name} holds {roles} interleaved, {unit} by {unit}"
    return ""


def _norm_note(norm: NormSpec, name: str, widths: LayerWidths) -> str:
    if norm.size == "head_dim":
        return f"{name} normalises each head alone and is shared by all of them: it stays"
    if norm.size in ("q", "k"):
        several = widths.heads > 1 if norm.size == "q" else widths.groups > 1
        whose = "all heads" if norm.size == "q" else "the keys of all groups"
        if several:
            return f"{name} takes its statistics over {whose}: a cut changes what the others receive"
    return ""
