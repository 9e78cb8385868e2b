"""Bursts in the messages of Sparkplug edge nodes: nodes are machines, devices are sensors."""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from secateur.core.errors import DataError
from secateur.edge.agent.sources.payloads import Piece, require_few
from secateur.edge.agent.sparkplug.codec import DataType, Metric, Payload, Value, decode, encode
from secateur.edge.agent.sparkplug.host import MOST_NODES, Data, Host, Taken
from secateur.edge.agent.sparkplug.schema import ARRAYS

log = logging.getLogger(__name__)

SAMPLES = "samples"
_STAYING = ("sampling_rate_hz", "speed_rpm", "unit", "scale")
"""Metrics that a device does not repeat with each burst."""
_PASSING = ("speed_rpm",)

_TOPIC = re.compile(r"^spBv1\.0/[^/]+/(NBIRTH|NDEATH|NDATA|DBIRTH|DDEATH|DDATA)/([^/]+)(?:/([^/]+))?$")
_REBIRTH_EVERY_S = 5.0


class SparkplugFeed:
    """Follows the edge nodes of a group that are machines, and asks them for a rebirth where it must.

    Parameters
    ----------
    group : str
    places : collection of (str, str)
        Machines and sensors that exist.
    publish : callable
        Takes topic and content of a command.
    clock : callable
        Seconds that only go forward.

    Attributes
    ----------
    counts : Counter
        "of no sensor", "rebirths asked for", and those of the host.
    """

    def __init__(
        self,
        group: str,
        places: Collection[tuple[str, str]],
        publish: Callable[[str, bytes], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._group, self._places, self._publish, self._clock = group, places, publish, clock
        self._machines = {machine for machine, _ in places}
        self._host = Host(staying=_STAYING, passing=_PASSING, clock=clock)
        self._asked_s: dict[str, float] = {}
        self._others: set[str] = set()
        self.counts: Counter[str] = self._host.counts

    @property
    def waiting(self) -> int:
        """Messages that wait for the birth of their device."""
        return self._host.waiting

    def take(self, topic: str, content: bytes, ticket: object) -> Taken:
        """Take a message; return the data that can be understood now.

        Raises
        ------
        DataError
            If it is no Sparkplug payload.
        """
        found = _TOPIC.match(topic)
        if found is None:  # commands and states of others
            return Taken(data=[])
        kind, node, device = found[1], found[2], found[3] or ""
        if node not in self._machines:
            self._pass_over(node)
            return Taken(data=[])
        payload = decode(content)
        if kind[0] == "D" and (node, device) not in self._places:
            if any(metric.name == SAMPLES for metric in payload.metrics):
                self._pass_over(f"{node}/{device}")
            payload = replace(payload, metrics=())  # it counts in the sequence of its node
        taken = self._host.take(kind, node, payload, device=device, ticket=ticket)
        if taken.rebirth:
            self._ask_for_rebirth(node)
        return taken

    def _pass_over(self, place: str) -> None:
        """Count a message that is of no machine or sensor, and say once what sends such."""
        self.counts["of no sensor"] += 1
        if place not in self._others and len(self._others) < MOST_NODES:
            self._others.add(place)
            log.warning("%r of Sparkplug group %s is not in the configuration", place[:128], self._group)

    def _ask_for_rebirth(self, node: str) -> None:
        now_s = self._clock()
        if now_s - self._asked_s.get(node, -2 * _REBIRTH_EVERY_S) < _REBIRTH_EVERY_S:
            return
        self._asked_s[node] = now_s
        self.counts["rebirths asked for"] += 1
        command = Metric(name="Node Control/Rebirth", value=True, datatype=DataType.BOOLEAN)
        payload = Payload(metrics=(command,), seq=None, timestamp_ms=int(1e3 * time.time()))
        self._publish(f"spBv1.0/{self._group}/NCMD/{node}", encode(payload, with_names=True))


def waveforms_in(data: Data) -> list[Metric]:
    """Return the samples that a device sent: more than one burst where it kept them for a while."""
    return [metric for metric in data.metrics if metric.name == SAMPLES and metric.value is not None]


def burst_of(data: Data, waveform: Metric, most: int) -> Piece:
    """Return a burst and what is said of it: at its own time, where a metric comes more than once.

    Raises
    ------
    DataError
        If its samples cannot be read, or are more than so many.
    """
    stayed = dict(data.stayed)
    if waveform.historical:  # what passes is not now what it was then
        stayed = {name: value for name, value in stayed.items() if name not in _PASSING}
    times = Counter(metric.name for metric in data.metrics)
    said = {
        metric.name or "": metric.value
        for metric in data.metrics
        if times[metric.name] == 1 or metric.timestamp_ms == waveform.timestamp_ms
    }
    return _piece(waveform, stayed | said, waveform.timestamp_ms or data.timestamp_ms, most)


def _piece(waveform: Metric, said: dict[str, Value], at_ms: int | None, most: int) -> Piece:
    """Return the burst of a device's metrics: its samples, and what else is there."""
    content, kind = waveform.value, waveform.datatype
    if not isinstance(content, bytes):
        raise DataError(
            f"the metric 'samples' is {type(content).__name__}; send an array, or bytes of float32."
        )
    dtype = np.dtype("<f4") if kind is None else ARRAYS.get(kind, np.dtype("<f4"))
    if len(content) % dtype.itemsize:
        raise DataError(
            f"the metric 'samples' has {len(content)} bytes, no whole number of {dtype.name} samples."
        )

    require_few(len(content) // dtype.itemsize, most)

    def number(name: str) -> float | None:
        value = said.get(name)
        return float(value) if isinstance(value, int | float) and np.isfinite(value) else None

    unit, count = said.get("unit"), said.get("number")
    samples = np.frombuffer(content, dtype=dtype).astype(np.float64)
    if dtype.kind in "iu":
        scale = number("scale")
        if scale is None or scale <= 0:
            raise DataError(f"samples of {dtype.name} need a metric 'scale' above 0; it is {scale}.")
        samples *= scale
    with np.errstate(over="ignore", invalid="ignore"):
        samples = samples.astype(np.float32)
    return Piece(
        samples=samples,
        number=count if isinstance(count, int) and count >= 0 else None,
        measured_unix_s=None if at_ms is None else at_ms / 1e3,
        sampling_rate_hz=number("sampling_rate_hz"),
        speed_rpm=number("speed_rpm"),
        unit=unit if isinstance(unit, str) else None,
    )
