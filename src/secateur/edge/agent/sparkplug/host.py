"""The receiving side of Sparkplug B: what is alive, names of aliases, when to ask for a rebirth."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from secateur.edge.agent.sparkplug.codec import Metric, Payload

MOST_NODES = 1024


@dataclass
class _Node:
    """One edge node as its messages tell."""

    bdseq: int | None = None
    seq: int = 0
    alive: bool = False
    names: dict[int, str] = field(default_factory=dict)


class Host:
    """Follows the edge nodes of one group.

    An NDEATH counts only if its ``bdSeq`` is that of the last NBIRTH: the death of a former session may
    arrive after the birth of the new one. A gap in the sequence, or data without a birth, asks for a rebirth.

    Attributes
    ----------
    counts : Counter
        "sequence gaps", "late deaths", "data before birth".
    """

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self.counts: Counter[str] = Counter()

    def is_alive(self, node: str) -> bool:
        """Whether a node has been born and has not died since."""
        return node in self._nodes and self._nodes[node].alive

    def take(self, kind: str, node: str, payload: Payload) -> tuple[list[Metric], bool]:
        """Take a message; return its metrics with their names, and whether a rebirth is to be asked for.

        Parameters
        ----------
        kind : str
            NBIRTH, NDEATH, DBIRTH, DDEATH, NDATA or DDATA.
        node : str
        payload : Payload
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
            entry.bdseq, entry.alive, entry.seq = _bdseq(payload), True, payload.seq or 0
            entry.names.clear()
        elif not entry.alive:
            self.counts["data before birth"] += 1
            return [], True
        else:
            expected = (entry.seq + 1) % 256
            if payload.seq is not None and payload.seq != expected:
                self.counts["sequence gaps"] += 1
                entry.alive = False
                return [], True
            entry.seq = expected
        if kind.endswith("BIRTH"):
            entry.names.update(
                {m.alias: m.name for m in payload.metrics if m.alias is not None and m.name is not None}
            )
        named = [(self._name(entry, metric), metric) for metric in payload.metrics]
        unknown = any(name is None for name, _ in named)
        return [
            Metric(
                name=name,
                value=metric.value,
                datatype=metric.datatype,
                alias=metric.alias,
                timestamp_ms=metric.timestamp_ms,
                historical=metric.historical,
            )
            for name, metric in named
            if name is not None
        ], unknown

    @staticmethod
    def _name(entry: _Node, metric: Metric) -> str | None:
        if metric.name is not None:
            return metric.name
        return None if metric.alias is None else entry.names.get(metric.alias)

    def _death(self, entry: _Node, payload: Payload) -> None:
        if entry.alive and _bdseq(payload) != entry.bdseq:
            self.counts["late deaths"] += 1
            return
        entry.alive = False


def _bdseq(payload: Payload) -> int | None:
    for metric in payload.metrics:
        if metric.name == "bdSeq" and isinstance(metric.value, int):
            return metric.value
    return None
