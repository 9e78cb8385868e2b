"""Results as a Sparkplug B edge node: births before data, aliases, sequence numbers, rebirth on request.

A device whose sensor falls silent is declared dead (DDEATH) after the result that says so, and born again
with the next result. A node with a primary host is born when that is online, and dies when it goes offline.
Data go with QoS 1, since a result counts as sent only when the broker has acknowledged it; the specification
asks for QoS 0. Compatibility is not certified.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from secateur.core.errors import DataError
from secateur.edge.agent.config.connections import SparkplugSink as SparkplugSettings
from secateur.edge.agent.outbox.store import Record
from secateur.edge.agent.sinks.base import RecordRefused, Sink, SinkUnavailable
from secateur.edge.agent.sinks.mqtt_session import Message, MqttSession
from secateur.edge.agent.sparkplug.codec import Metric, Payload, Value, decode, encode
from secateur.edge.agent.sparkplug.metrics import Aliases, flattened
from secateur.edge.agent.sparkplug.schema import DataType
from secateur.edge.agent.sparkplug.state import PrimaryHost

log = logging.getLogger(__name__)

REBIRTH = "Node Control/Rebirth"
SEQUENCE = 256
HOST_WITHIN_S = 1.0
"""Whether the primary host has come online is asked again so soon."""


class SparkplugSink(Sink):
    """One edge node; each sensor is a device named ``MACHINE:SENSOR``.

    Parameters
    ----------
    settings : SparkplugSettings
    client_id : str
        Used if the settings name none.
    next_bdseq : callable
        Gives the next session its number, one more than the last, over restarts too.
    """

    def __init__(self, settings: SparkplugSettings, *, client_id: str, next_bdseq: Callable[[], int]) -> None:
        self.name = settings.name
        self._settings, self._client_id = settings, settings.client_id or client_id
        self._next_bdseq = next_bdseq
        self._host = None if settings.primary_host is None else PrimaryHost(settings.primary_host)
        self._session: MqttSession | None = None
        self._is_born = False
        self._rebirth = threading.Event()
        self._bdseq = 0
        self._seq = 0
        self._aliases = Aliases()
        self._devices: dict[str, dict[str, _Latest]] = {}
        self._dead: set[str] = set()

    def publish(self, records: Sequence[Record]) -> None:
        """See :class:`~secateur.edge.agent.sinks.base.Sink`."""
        session = self._open()
        messages: list[Message] = []
        data_at: list[int] = []
        for record in records:
            device = f"{record.machine}:{record.sensor}"
            latest = _latest(record)
            is_born = device in self._devices and self._aliases.knows(device, latest.values)
            self._devices.setdefault(device, {})[record.kind] = latest
            if not is_born or device in self._dead:
                self._aliases.learn(device, latest.values)
                messages.append(self._device_birth(device))
            data_at.append(len(messages))
            messages.append(self._data(device, latest, record.key))
            self._dead.discard(device)
            if self._is_silent(device):
                messages.append(self._device_death(device))
                self._dead.add(device)
        self._publish(session, messages, data_at)

    def _publish(self, session: MqttSession, messages: list[Message], data_at: list[int]) -> None:
        try:
            session.publish(messages)
        except SinkUnavailable as error:
            error.acknowledged = sum(place < error.acknowledged for place in data_at)
            raise
        except RecordRefused as error:
            # a message that did not arrive leaves a gap in the sequence: begin anew
            self._end()
            index = sum(place < error.index for place in data_at)
            raise RecordRefused(str(error), index=min(index, len(data_at) - 1)) from None

    def _open(self) -> MqttSession:
        session = self._session
        if session is None or not session.is_open:
            session = self._connect()
        self._await_host(session)
        if self._rebirth.is_set() or not self._is_born:
            self._rebirth.clear()
            self._births(session)
            self._is_born = True
        return session

    def _connect(self) -> MqttSession:
        self._bdseq, self._is_born = self._next_bdseq() % SEQUENCE, False
        death = Payload(metrics=(self._bdseq_metric(),), seq=None, timestamp_ms=_now_ms())
        self._session = session = MqttSession(
            self._settings,
            client_id=self._client_id,
            acknowledged_within_s=self._settings.acknowledged_within_s,
            will=(self._topic("NDEATH"), encode(death, with_names=True)),
            on_message=self._heard,
        )
        session.subscribe(self._topic("NCMD"))
        if self._host is not None:
            session.subscribe(self._host.topic)
        return session

    def _await_host(self, session: MqttSession) -> None:
        """Let nothing be sent while the primary host is offline; a node that lives dies with it."""
        trouble = None if self._host is None else self._host.trouble(0.0 if self._is_born else HOST_WITHIN_S)
        if trouble is not None:
            if self._is_born:
                self._end()
            raise SinkUnavailable(trouble, again_within_s=HOST_WITHIN_S)

    def _births(self, session: MqttSession) -> None:
        """Publish the birth of the node and of all its devices; the sequence starts at 0."""
        self._seq = -1
        now_ms = _now_ms()
        rebirth = Metric(name=REBIRTH, value=False, datatype=DataType.BOOLEAN, timestamp_ms=now_ms)
        node = Payload(metrics=(self._bdseq_metric(), rebirth), seq=self._following(), timestamp_ms=now_ms)
        births = [Message(topic=self._topic("NBIRTH"), content=encode(node, with_names=True), properties={})]
        births += [self._device_birth(device) for device in self._devices if device not in self._dead]
        try:
            session.publish(births)
        except RecordRefused as error:  # no result is at fault
            session.close()
            raise SinkUnavailable(str(error)) from None

    def _device_birth(self, device: str) -> Message:
        """Name everything that the device has; values keep their own time, since they may be old."""
        now_ms = _now_ms()
        said = {name: latest for latest in self._devices[device].values() for name in latest.values}
        nothing = _Latest(values={}, at_ms=now_ms, historical=False)
        metrics = tuple(
            self._metric(device, name, said.get(name, nothing)) for name in self._aliases.born(device)
        )
        birth = Payload(metrics=metrics, seq=self._following(), timestamp_ms=now_ms)
        return Message(
            topic=self._topic("DBIRTH", device), content=encode(birth, with_names=True), properties={}
        )

    def _is_silent(self, device: str) -> bool:
        """Whether the last result of a device says that its sensor gives none; alarms do not tell."""
        result = self._devices[device].get("result")
        return result is not None and result.values.get("sensor_state") == "silent"

    def _device_death(self, device: str) -> Message:
        death = Payload(metrics=(), seq=self._following(), timestamp_ms=_now_ms())
        content = encode(death, with_names=True)
        return Message(topic=self._topic("DDEATH", device), content=content, properties={})

    def _data(self, device: str, latest: _Latest, key: str) -> Message:
        metrics = tuple(self._metric(device, name, latest) for name in latest.values)
        data = Payload(metrics=metrics, seq=self._following(), timestamp_ms=_now_ms())
        return Message(
            topic=self._topic("DDATA", device),
            content=encode(data, with_names=False),
            properties={"key": key},
        )

    def _metric(self, device: str, name: str, latest: _Latest) -> Metric:
        value = latest.values.get(name)
        return self._aliases.metric(
            device, name, value, timestamp_ms=latest.at_ms, historical=latest.historical
        )

    def _following(self) -> int:
        self._seq = (self._seq + 1) % SEQUENCE
        return self._seq

    def _bdseq_metric(self) -> Metric:
        return Metric(name="bdSeq", value=self._bdseq, datatype=DataType.INT64, timestamp_ms=_now_ms())

    def _topic(self, kind: str, device: str | None = None) -> str:
        topic = f"spBv1.0/{self._settings.group}/{kind}/{self._settings.node}"
        return topic if device is None else f"{topic}/{device}"

    def _heard(self, topic: str, content: bytes) -> None:
        try:
            if self._host is not None and topic == self._host.topic:
                self._host.take(content)
            elif any(metric.name == REBIRTH and metric.value is True for metric in decode(content).metrics):
                self._rebirth.set()
        except DataError as error:
            log.info("sink %s: a message on %s was refused: %s", self.name, topic, error)

    def be_ready(self) -> None:
        """Stay alive, follow the primary host, and answer a request for a rebirth."""
        self._open()

    def _end(self) -> None:
        if self._session is not None:
            death = Payload(metrics=(self._bdseq_metric(),), seq=None, timestamp_ms=_now_ms())
            content = encode(death, with_names=True)
            last_words = Message(topic=self._topic("NDEATH"), content=content, properties={})
            self._session.close(last_words=last_words if self._is_born else None)
            self._session = None

    def close(self) -> None:
        """Publish the death of a node that lives, and disconnect."""
        self._end()


@dataclass(frozen=True, kw_only=True)
class _Latest:
    """The last result, or the last alarm, of a device: its time, and whether it waited before it was sent."""

    values: dict[str, Value]
    at_ms: int
    historical: bool


def _latest(record: Record) -> _Latest:
    value = json.loads(record.payload)
    value |= {"key": record.key, "sequence": record.seq, "redelivered": record.redelivered}
    prefix = "alarm/" if record.kind == "alarm" else ""
    return _Latest(
        values={prefix + name: entry for name, entry in flattened(value).items()},
        at_ms=int(1e3 * record.created_unix_s),
        historical=record.historical,
    )


def _now_ms() -> int:
    return int(1e3 * time.time())
