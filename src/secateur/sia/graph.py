"""The coupling graph of a layer: slices of weights, and what joins them.

Nodes are the smallest slices that can be named: the rows of one query, key or value head, the columns of the
output projection that read one query head, one row or column of an FFN matrix, and the entries of a norm over
all queries or keys. Edges come from the forward pass alone, whatever the specification says its units are, so
that comparing the two is a check:

- *together*: one slice writes the features that the other alone reads, or the two are multiplied feature by
  feature; neither can go without the other;
- *reads*: several query heads read one key or value; it forces all of them out, they force it out together;
- *numbered*: a query head finds its key by its number, so that all groups that stay must lose query heads at
  the same time. Which one of its group is free; equal places stand for them here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from secateur.structure.closure import LayerWidths, WeightSlice, present_norms, role_features
from secateur.structure.shape import ModelShape
from secateur.structure.spec import KIND_OF, ArchitectureSpec, NormSpec, ProjectionSpec, Role, StackSpec

EdgeKind = Literal["together", "reads", "numbered"]


@dataclass(frozen=True, kw_only=True)
class Slices:
    """All slices of one role of a weight matrix, or of a norm.

    Parameters
    ----------
    name : str
        The role; for a norm its path.
    role : str
        The role; for a norm that of the features that it is over, q or k.
    parameters : tuple of (str, int)
        Path inside the block, and axis, of each parameter that they lie in: the weight, and the bias if it
        goes along.
    places : ndarray of int64, shape (slices, width)
        Indices along that axis.
    first : int
        Number of the first slice as a node.
    """

    name: str
    role: str
    parameters: tuple[tuple[str, int], ...]
    places: np.ndarray
    first: int

    @property
    def nodes(self) -> np.ndarray:
        """Numbers of the nodes, one a slice."""
        return self.first + np.arange(len(self.places))


@dataclass(frozen=True, kw_only=True)
class Edges:
    """Edges between the slices of two roles.

    Parameters
    ----------
    ends : tuple of (str, str)
        The two roles.
    pairs : ndarray of int64, shape (edges, 2)
        Nodes.
    kind : {"together", "reads", "numbered"}
        See the module; under ``reads`` the first end reads the second.
    multiplied : bool
        Whether the features of the two are multiplied with each other: gate with up, query with key.
    """

    ends: tuple[str, str]
    pairs: np.ndarray
    kind: EdgeKind
    multiplied: bool = False


@dataclass(frozen=True, kw_only=True)
class CouplingGraph:
    """The slices of one layer and what must be kept or removed together.

    Parameters
    ----------
    layer : int
        Position of the layer.
    slices : dict of str to Slices
        By role; norms by path.
    edges : tuple of Edges
    """

    layer: int
    slices: dict[str, Slices]
    edges: tuple[Edges, ...]

    @property
    def n_nodes(self) -> int:
        """Number of slices."""
        return sum(len(entry.places) for entry in self.slices.values())

    @cached_property
    def bundle_of(self) -> np.ndarray:
        """Bundle (slices joined by ``together`` edges) of each node, int64 of shape (nodes,)."""
        pairs = np.concatenate([entry.pairs for entry in self.edges if entry.kind == "together"])
        links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(self.n_nodes,) * 2)
        return connected_components(links, directed=False)[1].astype(np.int64)

    @cached_property
    def bundle_sizes(self) -> np.ndarray:
        """Nodes in each bundle."""
        return np.bincount(self.bundle_of)

    def closure(self, nodes: np.ndarray) -> np.ndarray:
        """Return all nodes that must go when ``nodes`` go, ascending."""
        gone = np.zeros(len(self.bundle_sizes), dtype=bool)
        gone[self.bundle_of[nodes]] = True
        for reads, numbered in self._sharing:
            self._spread(gone, reads, numbered)
        return np.flatnonzero(gone[self.bundle_of])

    @cached_property
    def _sharing(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Bundles at the ends of reads and numbered edges, for each attention that shares keys."""
        found = []
        for entry in self.edges:
            if entry.kind == "reads" and entry.multiplied:
                numbered = [
                    e.pairs for e in self.edges if e.kind == "numbered" and e.ends[0] == entry.ends[0]
                ]
                mates = np.concatenate(numbered) if numbered else np.zeros((0, 2), dtype=np.int64)
                found.append((self.bundle_of[entry.pairs], self.bundle_of[mates]))
        return tuple(found)

    def _spread(self, gone: np.ndarray, reads: np.ndarray, numbered: np.ndarray) -> None:
        """Mark what follows from ``gone``, in place, until nothing more does."""
        readers, keys = reads.T
        key_of = dict(reads.tolist())
        count = -1
        while gone.sum() != count:
            count = gone.sum()
            gone[readers] |= gone[keys]
            for key in np.unique(keys):
                gone[key] |= gone[readers[keys == key]].all()
            for one, other in numbered.tolist():
                if not gone[key_of[one]] and not gone[key_of[other]]:
                    gone[one] = gone[other] = gone[one] or gone[other]

    def weights(self, nodes: np.ndarray) -> tuple[WeightSlice, ...]:
        """Return what the nodes are in the block's parameters, one entry for each parameter."""
        found: dict[tuple[str, int], list[int]] = {}
        for entry in self.slices.values():
            chosen = nodes[(nodes >= entry.first) & (nodes < entry.first + len(entry.places))] - entry.first
            if len(chosen):
                indices = entry.places[chosen].reshape(-1).tolist()
                for parameter in entry.parameters:
                    found.setdefault(parameter, []).extend(indices)
        return tuple(
            WeightSlice(layer=self.layer, parameter=name, axis=axis, indices=tuple(sorted(indices)))
            for (name, axis), indices in found.items()
        )


def coupling_graph(spec: ArchitectureSpec, shape: ModelShape, layer: int) -> CouplingGraph:
    """Build the coupling graph of a layer.

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
    norms = present_norms(stack, shape, layer)
    slices: dict[str, Slices] = {}
    for name, role, parameters, places in (
        *_of_projections(stack, shape, widths),
        *_of_norms(norms, widths),
    ):
        first = sum(len(entry.places) for entry in slices.values())
        slices[name] = Slices(name=name, role=role, parameters=parameters, places=places, first=first)
    return CouplingGraph(layer=layer, slices=slices, edges=tuple(_edges(stack, norms, widths, slices)))


_Named = tuple[str, str, tuple[tuple[str, int], ...], np.ndarray]


def _of_projections(stack: StackSpec, shape: ModelShape, widths: LayerWidths) -> Iterator[_Named]:
    for projection in stack.projections:
        for role, places in role_features(projection, widths).items():
            width = 1 if KIND_OF[role] == "channel" else places.shape[-1]
            yield role, role, _parameters(projection, role, shape), places.reshape(-1, width)


def _parameters(projection: ProjectionSpec, role: Role, shape: ModelShape) -> tuple[tuple[str, int], ...]:
    weight = (f"{projection.module}.weight", projection.unit_axis)
    if projection.bias_follows_units and role in shape.biased_roles:
        return (weight, (f"{projection.module}.bias", 0))
    return (weight,)


def _of_norms(norms: tuple[NormSpec, ...], widths: LayerWidths) -> Iterator[_Named]:
    for norm in norms:
        if norm.size in ("q", "k"):
            names = ("weight", "bias") if norm.bias else ("weight",)
            parameters = tuple((f"{norm.module}.{name}", 0) for name in names)
            features = prod(widths.role_shape(norm.size))
            yield norm.module, norm.size, parameters, np.arange(features).reshape(-1, widths.head_dim)


def _edges(
    stack: StackSpec, norms: tuple[NormSpec, ...], widths: LayerWidths, slices: dict[str, Slices]
) -> Iterator[Edges]:
    yield from _attention_edges(slices, "", widths.heads, widths.groups)
    if widths.cross_groups:
        yield from _attention_edges(slices, "cross_", widths.cross_heads, widths.cross_groups)
    if stack.is_gated:
        yield _edges_between(slices, "gate", "up", multiplied=True)
    yield _edges_between(slices, "up", "down")
    for norm in norms:
        if norm.size in ("q", "k"):
            yield _edges_between(slices, norm.size, norm.module)


def _attention_edges(slices: dict[str, Slices], prefix: str, heads: int, groups: int) -> Iterator[Edges]:
    """Query head h reads key head h // (heads / groups), and its weights the value head of that number."""
    sharing = heads // groups
    reads = np.arange(heads) // sharing
    kind: EdgeKind = "together" if sharing == 1 else "reads"
    query, key, value, output = (f"{prefix}{role}" for role in "qkvo")
    yield _edges_between(slices, query, key, reads, kind=kind, multiplied=True)
    yield _edges_between(slices, output, value, reads, kind=kind)
    yield _edges_between(slices, query, output)
    yield _edges_between(slices, key, value)
    if sharing > 1 and groups > 1:
        heads_by_group = slices[query].nodes.reshape(groups, sharing)
        pairs = np.stack([heads_by_group[:-1].reshape(-1), heads_by_group[1:].reshape(-1)], axis=1)
        yield Edges(ends=(query, query), pairs=pairs, kind="numbered")


def _edges_between(
    slices: dict[str, Slices],
    one: str,
    other: str,
    reads: np.ndarray | None = None,
    *,
    kind: EdgeKind = "together",
    multiplied: bool = False,
) -> Edges:
    """Join slice i of one role to slice ``reads[i]`` of another, by default to its own like."""
    start, end = slices[one], slices[other]
    ends = end.nodes if reads is None else end.first + reads
    pairs = np.stack([start.nodes, ends], axis=1)
    return Edges(ends=(one, other), pairs=pairs, kind=kind, multiplied=multiplied)
