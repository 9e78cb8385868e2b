"""The structural part of the check: are the parts of a component definition units at all? No data needed.

For every definition and every layer the closure of each part is read from the coupling graph
(:mod:`secateur.sia.graph`). The structural condition holds where

1. each part is its own closure: removing it forces nothing else out;
2. closures of distinct parts are disjoint;
3. each closure enters the residual stream as one additive term.

The first two decide whether a part can be cut at all; they hold or they do not. The third holds exactly or up
to a norm that several parts share; then removing a part rescales the others, by how much is a matter of
measurement. None of the three says that parts do not act on each other through the layers behind them: that
is what the measured part is for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secateur.sia import words
from secateur.sia.components import CLOSED_FORM, Component, present
from secateur.sia.graph import CouplingGraph, EdgeKind, coupling_graph
from secateur.structure.closure import LayerWidths
from secateur.structure.shape import ModelShape
from secateur.structure.spec import ArchitectureSpec


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What the structure says about one component definition.

    Attributes
    ----------
    component : Component
    parts : int
        How many the model has.
    closed : bool
        Whether every part is its own closure.
    disjoint : bool
        Whether closures of distinct parts are disjoint.
    additive : bool
        Whether the closure of every part enters the residual stream as one additive term, exactly.
    sharing : int
        Most parts that have one closure in common; 1 where they are disjoint.
    named, forced : int
        Slices that a part names, and slices that its removal forces out, at most; 0 for whole layers.
    open_layers : tuple of int
        Layers in which the definition is not closed.
    meaning : str
        What one part is, in words, with the places of its weights.
    reason : str
        Why it is no unit; empty where it is one.
    residue : tuple of str
        What keeps parts from being additive terms; empty where they are.
    repair : tuple of str
        Closed units to cut in its place; empty where its own parts can be cut.
    closed_form : Component
        The closed definition that takes its place.
    """

    component: Component
    parts: int
    closed: bool
    disjoint: bool
    additive: bool
    sharing: int
    named: int
    forced: int
    open_layers: tuple[int, ...]
    meaning: str
    reason: str
    residue: tuple[str, ...]
    repair: tuple[str, ...]
    closed_form: Component

    @property
    def holds(self) -> bool:
        """Whether a part can be removed by itself."""
        return self.closed and self.disjoint


@dataclass(frozen=True, kw_only=True)
class EdgeCount:
    """How many edges join two roles.

    Attributes
    ----------
    ends : tuple of (str, str)
    edges : int
    kind : {"together", "reads", "numbered"}
        See :mod:`secateur.sia.graph`.
    multiplied : bool
        Whether the features of the two are multiplied.
    """

    ends: tuple[str, str]
    edges: int
    kind: EdgeKind
    multiplied: bool


@dataclass(frozen=True, kw_only=True)
class GraphSummary:
    """The coupling graph of layers that are built alike.

    Attributes
    ----------
    layers : tuple of int
    nodes : dict of str to int
        Slices of each role.
    edges : tuple of EdgeCount
    bundles : int
        Slices joined by ``together`` edges count as one.
    """

    layers: tuple[int, ...]
    nodes: dict[str, int]
    edges: tuple[EdgeCount, ...]
    bundles: int


@dataclass(frozen=True, kw_only=True)
class Structure:
    """The structural part for one model.

    Attributes
    ----------
    family : str
    gated : bool
        Whether an FFN multiplies a gate with ``up``.
    heads_per_group : int
        Query heads that read one key, at most.
    definitions : tuple of Definition
    graphs : tuple of GraphSummary
    """

    family: str
    gated: bool
    heads_per_group: int
    definitions: tuple[Definition, ...]
    graphs: tuple[GraphSummary, ...]

    def definition(self, component: Component) -> Definition:
        """Return what is said about one definition.

        Raises
        ------
        KeyError
            If the model has no parts of it.
        """
        for entry in self.definitions:
            if entry.component == component:
                return entry
        raise KeyError(component)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """One definition in one layer."""

    parts: int
    closed: bool
    sharing: int
    named: int
    forced: int


def check_structure(spec: ArchitectureSpec, shape: ModelShape) -> Structure:
    """Carry out the structural part.

    Parameters
    ----------
    spec : ArchitectureSpec
        The family.
    shape : ModelShape
        Widths of the model; layers may differ.

    Returns
    -------
    Structure
        With every definition that :func:`secateur.sia.components.present` names.
    """
    alike = _alike(shape)
    graphs = {layers: coupling_graph(spec, shape, layers[0]) for layers in alike}
    return Structure(
        family=spec.family,
        gated=spec.is_gated,
        heads_per_group=max(shape.heads_per_group(layer) for layer in range(shape.n_layers)),
        definitions=tuple(_definition(entry, spec, shape, graphs) for entry in present(shape)),
        graphs=tuple(_summary(layers, graph) for layers, graph in graphs.items()),
    )


def _alike(shape: ModelShape) -> list[tuple[int, ...]]:
    """Layers of one stack and of equal widths, which have the same graph."""
    found: dict[tuple[int, LayerWidths], list[int]] = {}
    for layer in range(shape.n_layers):
        found.setdefault((shape.stack_of(layer), LayerWidths.of(shape, layer)), []).append(layer)
    return [tuple(layers) for layers in found.values()]


def _definition(
    component: Component,
    spec: ArchitectureSpec,
    shape: ModelShape,
    graphs: dict[tuple[int, ...], CouplingGraph],
) -> Definition:
    found = {layers: _look_at(component, graph, shape) for layers, graph in graphs.items()}
    open_layers = sorted(layer for layers, entry in found.items() if not entry.closed for layer in layers)
    shown = open_layers[0] if open_layers else 0
    residue = dict.fromkeys(
        text for layers in found for text in words.residue(component, spec, shape, layers[0])
    )
    return Definition(
        component=component,
        parts=sum(len(layers) * entry.parts for layers, entry in found.items()),
        closed=not open_layers,
        disjoint=all(entry.sharing == 1 for entry in found.values()),
        additive=not residue,
        sharing=max(entry.sharing for entry in found.values()),
        named=max(entry.named for entry in found.values()),
        forced=max(entry.forced for entry in found.values()),
        open_layers=tuple(open_layers),
        meaning=words.meaning(component, spec, shape, shown),
        reason=words.why_open(component, spec, shape, shown) if open_layers else "",
        residue=tuple(residue),
        repair=(
            words.repairs(component, spec, shape, shown) if open_layers else words.instead(component, shape)
        ),
        closed_form=CLOSED_FORM[component] if open_layers else component,
    )


def _look_at(component: Component, graph: CouplingGraph, shape: ModelShape) -> _Found:
    if component == "layer":
        # blocks have no parameter in common
        return _Found(parts=1, closed=True, sharing=1, named=0, forced=0)
    part = part_of_nodes(component, graph, LayerWidths.of(shape, graph.layer))
    named = np.bincount(part[part >= 0])
    if component in ("channel", "matrix"):
        forced, sharing = _bundles(part, graph)
    else:
        closures = [graph.closure(np.flatnonzero(part == number)) for number in range(len(named))]
        forced = np.array([len(closure) for closure in closures])
        sharing = int(np.bincount(np.concatenate(closures)).max())
    return _Found(
        parts=len(named),
        closed=bool((forced == named).all()),
        sharing=sharing,
        named=int(named.max()),
        forced=int(forced.max()),
    )


def _bundles(part: np.ndarray, graph: CouplingGraph) -> tuple[np.ndarray, int]:
    """Sizes of closures that no other edge widens, and how many parts share one at most."""
    chosen = part >= 0
    touched = np.unique(np.stack([part[chosen], graph.bundle_of[chosen]], axis=1), axis=0)
    forced = np.bincount(touched[:, 0], weights=graph.bundle_sizes[touched[:, 1]]).astype(np.int64)
    return forced, int(np.bincount(touched[:, 1]).max())


def part_of_nodes(component: Component, graph: CouplingGraph, widths: LayerWidths) -> np.ndarray:
    """Return the part that names each node of a layer's graph.

    Parameters
    ----------
    component : {"group", "head", "channel", "matrix"}
        The definition.
    graph : CouplingGraph
    widths : LayerWidths
        Of the same layer.

    Returns
    -------
    ndarray of int64, shape (nodes,)
        Number of the part, cross-attention groups behind the others; -1 where none names the node.
    """
    part = np.full(graph.n_nodes, -1, dtype=np.int64)
    queries_own_keys = widths.heads_per_group == 1
    for slices in graph.slices.values():
        role, inside = slices.role, np.arange(len(slices.places))
        if component == "channel" and role in ("gate", "up", "down"):
            part[slices.nodes] = inside
        elif component == "matrix" and role in ("gate", "up", "down"):
            part[slices.nodes] = part.max() + 1 + inside
        elif component == "group" and role in ("q", "o", "k", "v"):
            part[slices.nodes] = inside // (widths.heads_per_group if role in ("q", "o") else 1)
        elif component == "group" and role.startswith("cross_"):
            reading = widths.cross_heads // widths.cross_groups if role in ("cross_q", "cross_o") else 1
            part[slices.nodes] = widths.groups + inside // reading
        elif component == "head" and (role in ("q", "o") or (role in ("k", "v") and queries_own_keys)):
            part[slices.nodes] = inside
    return part


def _summary(layers: tuple[int, ...], graph: CouplingGraph) -> GraphSummary:
    return GraphSummary(
        layers=layers,
        nodes={name: len(entry.places) for name, entry in graph.slices.items()},
        edges=tuple(
            EdgeCount(ends=entry.ends, edges=len(entry.pairs), kind=entry.kind, multiplied=entry.multiplied)
            for entry in graph.edges
        ),
        bundles=len(graph.bundle_sizes),
    )
