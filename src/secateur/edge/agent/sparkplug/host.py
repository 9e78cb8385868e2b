"""The receiving side of Sparkplug B: what is alive, names of aliases, when to ask for a rebirth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from secateur.edge.agent.sparkplug.codec import MOST_METRICS, Metric, Payload, Value, signed
from secateur.edge.agent.sparkplug.schema import DataType

MOST_NODES = 1024


@dataclass
class _Node:
    """One edge node as its messages tell."""

    bdseq: int | None = None
    seq: int = 0
    alive: bool = False
    names: dict[int, str] = field(default_factory=dict)
    kinds: dict[tuple[str, str], DataType] = field(default_factory=dict)
    values: dict[tuple[str, str], Value] = field(default_factory=dict)

    def forget(self) -> None:
        self.names.clear()
        self.kinds.clear()
        self.values.clear()


class Host:
    """Follows the edge nodes of one group.

    An NDEATH counts only if its ``bdSeq`` is that of the last NBIRTH: the death of a former session may
    arrive after the birth of the new one. A gap in the sequence, or data without a birth, asks for a rebirth;
    of such data those metrics count that carry their names.

    Parameters
    ----------
    staying : collection of str
        Metrics whose last value is remembered: Sparkplug sends a value again only when it has changed.

    Attributes
    ----------
    counts : Counter
        "sequence gaps", "late deaths", "data before birth".
    """

    def __init__(self, *, staying: Collection[str] = ()) -> None:
        self._staying = frozenset(staying)
        self._nodes: dict[str, _Node] = {}
        self.counts: Counter[str] = Counter()

    def is_alive(self, node: str) -> bool:
        """Whether a node has been born and has not died since."""
        return node in self._nodes and self._nodes[node].alive

    def take(self, kind: str, node: str, payload: Payload, *, device: str = "") -> tuple[list[Metric], bool]:
        """Take a message; return its metrics with their names, and whether a rebirth is to be asked for.

        Parameters
        ----------
        kind : str
            NBIRTH, NDEATH, DBIRTH, DDEATH, NDATA or DDATA.
        node : str
        payload : Payload
        device : str
            Empty for the node itself.
        """
        entry = self._nodes.get(node)
        if entry is None:
            if len(self._nodes) >= MOST_NODES:
                return [], False
            entry = self._nodes[node] = _Node()
        if kind == "NDEATH":
            self._death(entry, payload)
            return [], False
        if kind == "NBIRTH":
            entry.forget()
            entry.bdseq, entry.alive, entry.seq = _bdseq(payload), True, payload.seq or 0
        elif not entry.alive:
            self.counts["data before birth"] += 1
            return _named(payload), True
        else:
            expected = (entry.seq + 1) % 256
            if payload.seq is not None and payload.seq != expected:
                self.counts["sequence gaps"] += 1
                entry.alive = False
                return _named(payload), True
            entry.seq = expected
        if kind.endswith("BIRTH"):
            self._birth(entry, device, payload)
        found = [self._known(entry, device, metric) for metric in payload.metrics]
        metrics = [metric for metric in found if metric is not None]
        for metric in metrics:
            place = (device, metric.name or "")
            if metric.name not in self._staying or metric.historical:
                continue
            if place in entry.values or len(entry.values) < MOST_METRICS:
                entry.values[place] = metric.value
        return metrics, len(metrics) < len(found)

    def values(self, node: str, device: str) -> dict[str, Value]:
        """Return what a device that lives said last of the metrics that stay."""
        entry = self._nodes.get(node)
        if entry is None or not entry.alive:
            return {}
        return {name: value for (owner, name), value in entry.values.items() if owner == device}

    @staticmethod
    def _birth(entry: _Node, device: str, payload: Payload) -> None:
        for metric in payload.metrics:
            if metric.name is None or len(entry.names) + len(entry.kinds) > 2 * MOST_METRICS:
                continue
            if metric.alias is not None:
                entry.names[metric.alias] = metric.name
            if metric.datatype is not None:
                entry.kinds[device, metric.name] = metric.datatype

    @staticmethod
    def _known(entry: _Node, device: str, metric: Metric) -> Metric | None:
        """Return a metric with its name, and its type where the birth alone tells it; None: no such alias."""
        name = metric.name
        if name is None and metric.alias is not None:
            name = entry.names.get(metric.alias)
        if name is None:
            return None
        kind = metric.datatype or entry.kinds.get((device, name))
        return replace(metric, name=name, datatype=kind, value=signed(metric.value, kind))

    def _death(self, entry: _Node, payload: Payload) -> None:
        if entry.alive and _bdseq(payload) != entry.bdseq:
            self.counts["late deaths"] += 1
            return
        entry.alive = False
        entry.forget()


def _named(payload: Payload) -> list[Metric]:
    return [metric for metric in payload.metrics if metric.name is not None]


def _bdseq(payload: Payload) -> int | None:
    for metric in payload.metrics:
        if metric.name == "bdSeq" and isinstance(metric.value, int):
            return metric.value
    return None
