"""The receiving side of Sparkplug B: what is alive, names of aliases, when to ask for a rebirth."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from secateur.edge.agent.sparkplug.codec import MOST_METRICS, Metric, Payload, Value, signed
from secateur.edge.agent.sparkplug.schema import DataType
from secateur.edge.agent.sparkplug.waiting import Unborn, Waiting

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
    strange: set[int | None] = field(default_factory=set)

    def forget(self) -> None:
        self.names.clear()
        self.kinds.clear()
        self.values.clear()

    def forget_values(self, device: str) -> None:
        for place in [place for place in self.values if place[0] == device]:
            del self.values[place]


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a device said.

    Attributes
    ----------
    node, device : str
    metrics : tuple of Metric
        With their names.
    whole : bool
        Whether all its metrics are there; False where no birth named their aliases.
    stayed : dict
        Values of metrics that stay, as they were before.
    timestamp_ms : int or None
        Of the message.
    ticket : object
        As it was handed in.
    """

    node: str
    device: str
    metrics: tuple[Metric, ...]
    whole: bool
    stayed: dict[str, Value]
    timestamp_ms: int | None
    ticket: object


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What came of a message.

    Attributes
    ----------
    data : list of Data
        What can be understood now, in order; messages that waited among it.
    rebirth : bool
        Whether to ask the node for a rebirth.
    waits : bool
        Whether the message itself waits for a birth.
    """

    data: list[Data]
    rebirth: bool = False
    waits: bool = False


class Host:
    """Follows the edge nodes of one group.

    An NDEATH counts only if its ``bdSeq`` is that of the last NBIRTH: the death of a former session may
    arrive after the birth of the new one. A gap in the sequence, or data without a birth, asks for a rebirth.
    Data with aliases that nobody can name yet wait for the birth of their device, and come with it. Where it
    does not come (in a minute, or before the death that ends what the aliases meant), those metrics count
    that carry their names.

    Parameters
    ----------
    staying : collection of str
        Metrics whose last value is remembered: Sparkplug sends a value again only when it has changed.
    passing : collection of str
        Those of them that hold for the present alone: data that waited do not have the value of now.
    clock : callable
        Seconds that only go forward.

    Attributes
    ----------
    counts : Counter
        "sequence gaps", "late deaths", "data before birth", "waited for a birth in vain", "aliases that the
        birth has not".
    """

    def __init__(
        self,
        *,
        staying: Collection[str] = (),
        passing: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._staying, self._passing = frozenset(staying), frozenset(passing)
        self._nodes: dict[str, _Node] = {}
        self._waiting = Waiting(clock=clock)
        self.counts: Counter[str] = Counter()

    def is_alive(self, node: str) -> bool:
        """Whether a node has been born and has not died since."""
        return node in self._nodes and self._nodes[node].alive

    @property
    def waiting(self) -> int:
        """Messages that wait for a birth."""
        return len(self._waiting)

    def take(
        self, kind: str, node: str, payload: Payload, *, device: str = "", ticket: object = None
    ) -> Taken:
        """Take a message.

        Parameters
        ----------
        kind : str
            NBIRTH, NDEATH, DBIRTH, DDEATH, NDATA or DDATA.
        node : str
        payload : Payload
        device : str
            Empty for the node itself.
        ticket : object
            Comes back with the data.
        """
        late = self._in_vain(self._waiting.too_many())
        taken = self._take(kind, Unborn(node=node, device=device, payload=payload, ticket=ticket))
        return replace(taken, data=late + taken.data)

    def _take(self, kind: str, message: Unborn) -> Taken:
        node, device, payload = message.node, message.device, message.payload
        entry = self._nodes.get(node)
        if entry is None:
            if len(self._nodes) >= MOST_NODES:
                return Taken(data=self._in_vain([message]) if kind == "DDATA" else [])
            entry = self._nodes[node] = _Node()
        if kind == "NDEATH":
            return Taken(data=self._death(entry, node, payload))
        follows = self._follows(entry, kind, payload)
        if kind == "DDEATH":
            entry.forget_values(device)
            return Taken(data=self._in_vain(self._waiting.take(node, device)), rebirth=not follows)
        if not follows:
            return self._later(message) if kind == "DDATA" else Taken(data=[], rebirth=True)
        if kind.endswith("BIRTH"):
            entry.forget_values(device)
            self._birth(entry, device, payload)
            self._note(entry, device, payload.metrics)
            return Taken(data=self._born(entry, node, device))
        known = self._named(entry, device, payload)
        unnamed = self._unnamed(entry, payload)
        if unnamed - entry.strange:
            if kind == "DDATA":
                return self._later(message)
            self._are_strange(entry, unnamed)
            return Taken(data=[], rebirth=True)
        self._count_strange(known, payload)
        stayed = self.values(node, device)
        self._note(entry, device, known)
        return Taken(data=[_data(message, known, stayed)] if kind == "DDATA" else [])

    def values(self, node: str, device: str) -> dict[str, Value]:
        """Return what a device that lives said last of the metrics that stay."""
        entry = self._nodes.get(node)
        if entry is None or not entry.alive:
            return {}
        return {name: value for (owner, name), value in entry.values.items() if owner == device}

    def _follows(self, entry: _Node, kind: str, payload: Payload) -> bool:
        """Whether a message belongs to a session that is known from its birth on without a gap."""
        if kind == "NBIRTH":
            entry.forget()
            entry.bdseq, entry.alive, entry.seq = _bdseq(payload), True, payload.seq or 0
            return True
        if not entry.alive:
            self.counts["data before birth"] += 1
            return False
        expected = (entry.seq + 1) % 256
        if payload.seq is not None and payload.seq != expected:
            self.counts["sequence gaps"] += 1
            entry.alive = False
            return False
        entry.seq = expected
        return True

    def _later(self, message: Unborn) -> Taken:
        """Let data wait for the birth of their device; what carries all its names need not."""
        metrics = message.payload.metrics
        if all(metric.name is not None for metric in metrics):
            return Taken(data=[_data(message, metrics, {})], rebirth=True)
        self._waiting.put(message)
        passed_over = self._waiting.too_many()
        return Taken(
            data=self._in_vain(passed_over),
            rebirth=True,
            waits=all(other is not message for other in passed_over),
        )

    def _born(self, entry: _Node, node: str, device: str) -> list[Data]:
        """Return the data of a device that waited for its birth, as they were said: one after the other."""
        stayed = {k: v for k, v in self.values(node, device).items() if k not in self._passing}
        found = []
        for message in self._waiting.take(node, device):
            known = self._named(entry, device, message.payload)
            self._are_strange(entry, self._unnamed(entry, message.payload))
            self._count_strange(known, message.payload)
            found.append(_data(message, known, dict(stayed)))
            stayed |= {metric.name or "": metric.value for metric in known if self._stays(metric)}
        return found

    def _in_vain(self, messages: Collection[Unborn]) -> list[Data]:
        """Return what can be said of data that waited in vain: what carries its name."""
        if messages:
            self.counts["waited for a birth in vain"] += len(messages)
        return [
            _data(message, tuple(metric for metric in message.payload.metrics if metric.name is not None), {})
            for message in messages
        ]

    def _stays(self, metric: Metric) -> bool:
        return metric.name in self._staying and not metric.historical

    def _note(self, entry: _Node, device: str, metrics: Collection[Metric]) -> None:
        for metric in filter(self._stays, metrics):
            place = (device, metric.name or "")
            if place in entry.values or len(entry.values) < MOST_METRICS:
                entry.values[place] = metric.value

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
    def _named(entry: _Node, device: str, payload: Payload) -> tuple[Metric, ...]:
        """Return the metrics whose names are known, with their types where the birth alone tells them."""
        found = []
        for metric in payload.metrics:
            name = metric.name
            if name is None and metric.alias is not None:
                name = entry.names.get(metric.alias)
            if name is not None:
                kind = metric.datatype or entry.kinds.get((device, name))
                found.append(replace(metric, name=name, datatype=kind, value=signed(metric.value, kind)))
        return tuple(found)

    @staticmethod
    def _unnamed(entry: _Node, payload: Payload) -> set[int | None]:
        """Return the aliases that no birth has named so far."""
        return {
            metric.alias
            for metric in payload.metrics
            if metric.name is None and metric.alias not in entry.names
        }

    @staticmethod
    def _are_strange(entry: _Node, aliases: set[int | None]) -> None:
        """Note aliases for which no other birth is asked for: it would not name them either."""
        if len(entry.strange) > MOST_METRICS:
            entry.strange.clear()
        entry.strange |= aliases

    def _count_strange(self, known: tuple[Metric, ...], payload: Payload) -> None:
        if len(known) < len(payload.metrics):
            self.counts["aliases that the birth has not"] += 1

    def _death(self, entry: _Node, node: str, payload: Payload) -> list[Data]:
        if entry.alive and _bdseq(payload) != entry.bdseq:
            self.counts["late deaths"] += 1
            return []
        entry.alive = False
        entry.forget()
        entry.strange.clear()
        return self._in_vain(self._waiting.take(node))


def _data(message: Unborn, metrics: tuple[Metric, ...], stayed: dict[str, Value]) -> Data:
    return Data(
        node=message.node,
        device=message.device,
        metrics=metrics,
        whole=len(metrics) == len(message.payload.metrics),
        stayed=stayed,
        timestamp_ms=message.payload.timestamp_ms,
        ticket=message.ticket,
    )


def _bdseq(payload: Payload) -> int | None:
    for metric in payload.metrics:
        if metric.name == "bdSeq" and isinstance(metric.value, int):
            return metric.value
    return None
