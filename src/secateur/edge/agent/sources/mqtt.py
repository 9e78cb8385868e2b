"""Bursts from MQTT topics, acknowledged to the broker when their results are on the disk."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections import Counter, deque
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.subscribeoptions import SubscribeOptions

from secateur.core.errors import DataError, SecateurError
from secateur.edge.agent.config.connections import MqttSource as MqttSourceSettings
from secateur.edge.agent.intake import IntakeFull, Submission
from secateur.edge.agent.mqtt import new_client
from secateur.edge.agent.sources.assembly import Assembler, Place, place_of
from secateur.edge.agent.sources.base import Inlet, SourceStatus
from secateur.edge.agent.sources.payloads import Piece, from_json, from_raw
from secateur.edge.agent.sparkplug.codec import DataType, Metric, Payload, Value, decode, encode
from secateur.edge.agent.sparkplug.host import Host

log = logging.getLogger(__name__)

SESSION_S = 24 * 3600
MOST_HELD = 10
"""Parts of unfinished bursts hold back so many acknowledgements; brokers allow about twenty in all."""

Held = tuple[int, int, int]
"""Number and quality of service of a message that is not acknowledged yet, and its connection."""

_STAYING = ("sampling_rate_hz", "speed_rpm", "unit", "scale")
"""Metrics that a device does not repeat with each burst."""

_SAMPLES: dict[DataType | None, np.dtype[Any]] = {
    DataType.INT16_ARRAY: np.dtype("<i2"),
    DataType.FLOAT_ARRAY: np.dtype("<f4"),
    DataType.DOUBLE_ARRAY: np.dtype("<f8"),
}

_SPARKPLUG = re.compile(r"^spBv1\.0/[^/]+/(NBIRTH|NDEATH|NDATA|DBIRTH|DDEATH|DDATA)/([^/]+)(?:/([^/]+))?$")


class MqttSource:
    """Subscribes, assembles, submits.

    The broker keeps what comes while the agent is away (a session of a day, QoS 1), and gives again what was
    not acknowledged.

    Parameters
    ----------
    settings : MqttSourceSettings
    inlet : Inlet
    client_id : str
        Used if the settings name none.
    """

    def __init__(self, settings: MqttSourceSettings, inlet: Inlet, *, client_id: str) -> None:
        self.name = f"mqtt {settings.host}:{settings.port} {settings.topic}"
        self.counts: Counter[str] = Counter()
        self.trouble = self.last_refusal = ""
        self._settings, self._inlet = settings, inlet
        self._assembler = Assembler(incomplete_after_s=settings.incomplete_after_s, dropped=self._let_go)
        self._host = Host(staying=_STAYING)
        self._held: dict[Place, list[Held]] = {}
        self._held_order: deque[tuple[Place, Held]] = deque()
        self._last_rebirth_s: dict[str, float] = {}
        self._connected = threading.Event()
        self._connection = 0
        self._client, self._arguments = new_client(
            settings,
            client_id=settings.client_id or client_id,
            clean_start=False,
            session_s=SESSION_S,
            manual_ack=True,
        )
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 30)
        self._pattern = _pattern(settings.topic)

    def start(self) -> None:
        """Connect in the background, again and again until it succeeds."""
        arguments = dict(self._arguments)
        self._client.connect_async(**arguments)  # type: ignore[arg-type]
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; the broker keeps the session."""
        self._client.disconnect()
        self._client.loop_stop()

    def status(self) -> SourceStatus:
        """Return its state, for people."""
        counts = self.counts + self._assembler.counts + self._host.counts
        return {
            "name": self.name,
            "connected": self._connected.is_set(),
            "trouble": self.trouble,
            "last_refusal": self.last_refusal,
            "open_bursts": self._assembler.open,
            "counts": dict(counts),
        }

    def _on_connect(self, client: paho.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if reason.is_failure:
            self._tell(f"connection refused: {reason}")
            return
        self.trouble = ""
        self._connection += 1
        self._held.clear()
        self._held_order.clear()
        # what the broker retained was measured at a time that nobody knows: it would be shown as live
        wanted = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        client.subscribe(self._settings.subscription, options=wanted)

    def _on_subscribe(self, _: paho.Client, __: Any, ___: int, reasons: Any, ____: Any) -> None:
        refused = next((reason for reason in reasons if reason.is_failure), None)
        if refused is not None:
            self._tell(f"the broker refuses the subscription to {self._settings.subscription}: {refused}")
            return
        log.info("%s: connected", self.name)
        self._connected.set()

    def _on_disconnect(self, client: paho.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
        was_connected = self._connected.is_set()
        self._connected.clear()
        if reason.is_failure:
            self.counts["disconnections"] += 1
            if was_connected or not self.trouble:  # else the broker has said why
                self._tell(f"disconnected: {reason}")

    def _on_connect_fail(self, _: paho.Client, __: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this where it has caught it
        self._tell(f"the broker cannot be reached, and is tried again: {error}")

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            log.warning("%s: %s", self.name, trouble)
        self.trouble = trouble

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        held, content = (message.mid, message.qos, self._connection), bytes(message.payload)
        self.counts["messages"] += 1
        try:
            if self._settings.payload == "sparkplug":
                self._take_sparkplug(message.topic, content, held)
            else:
                machine, sensor = self._place(message.topic)
                parse = from_json if self._settings.payload == "json" else from_raw
                self._take(machine, sensor, parse(content), held)
        except IntakeFull:
            # not acknowledged: the broker gives it again when the connection is made anew
            log.warning("%s: too many bursts wait; the connection is made anew", self.name)
            threading.Thread(target=self._reconnect, daemon=True).start()
        except SecateurError as error:
            self.counts["refused"] += 1
            if str(error) != self.last_refusal:  # a gateway that is set up wrongly sends the same all day
                log.warning("%s: message refused: %s", self.name, error)
            self.last_refusal = str(error)
            self._acknowledge([held])
        except Exception:
            self.counts["failed"] += 1
            log.exception("%s: a message failed", self.name)
            self._acknowledge([held])

    def _place(self, topic: str) -> tuple[str, str]:
        found = self._pattern.match(topic)
        if found is None:
            raise DataError(f"topic {topic[:100]!r} does not name a machine and a sensor.")
        machine, sensor = found["machine"], found["sensor"]
        self._inlet.require_place(machine, sensor)
        return machine, sensor

    def _take(self, machine: str, sensor: str, piece: Piece, held: Held) -> None:
        place = place_of(machine, sensor, piece)
        burst = self._assembler.add(machine, sensor, piece)
        if burst is None:
            self._hold(place, held)
            return
        mine = [*self._held.pop(place, []), held] if piece.parts > 1 else [held]
        self.counts["bursts"] += 1
        try:
            self._inlet.submit(Submission(burst=burst, done=lambda _: self._acknowledge(mine)))
        except IntakeFull:
            self._assembler.not_taken(place)
            raise

    def _hold(self, place: Place, held: Held) -> None:
        """Keep the acknowledgement of a part until its burst is whole; give the oldest if too many wait."""
        self._held.setdefault(place, []).append(held)
        self._held_order.append((place, held))
        while len(self._held_order) > MOST_HELD:
            oldest, entry = self._held_order.popleft()
            waiting = self._held.get(oldest, [])
            if entry in waiting:
                waiting.remove(entry)
                self._acknowledge([entry])
            if not waiting:
                self._held.pop(oldest, None)

    def _let_go(self, place: Place) -> None:
        """Acknowledge the parts of a burst that is dropped: they need not come again."""
        self._acknowledge(self._held.pop(place, []))

    def _acknowledge(self, held: list[Held]) -> None:
        """Acknowledge messages of this connection; those of one before come again, under other numbers."""
        for mid, qos, connection in held:
            if connection == self._connection:
                self._client.ack(mid, qos)

    def _reconnect(self) -> None:
        try:
            self._client.reconnect()
        except OSError as error:
            log.warning("%s: %s", self.name, error)

    def _take_sparkplug(self, topic: str, content: bytes, held: Held) -> None:
        found = _SPARKPLUG.match(topic)
        if found is None:  # commands and states of others
            self._acknowledge([held])
            return
        kind, node, device = found[1], found[2], found[3] or ""
        payload = decode(content)
        metrics, rebirth = self._host.take(kind, node, payload, device=device)
        if rebirth:
            self._ask_for_rebirth(node)
        waveform = next((metric for metric in metrics if metric.name == "samples"), None)
        if kind != "DDATA" or waveform is None or not isinstance(waveform.value, bytes):
            self._acknowledge([held])
            return
        self._inlet.require_place(node, device)
        said = {metric.name or "": metric.value for metric in metrics}
        known = self._host.values(node, device)
        if waveform.historical:  # the speed of now is not that of then
            known.pop("speed_rpm", None)
        said = known | said
        at_ms = waveform.timestamp_ms or payload.timestamp_ms
        self._take(node, device, _piece(waveform, said, at_ms), held)

    def _ask_for_rebirth(self, node: str) -> None:
        now_s = time.monotonic()
        if now_s - self._last_rebirth_s.get(node, -10.0) < 5.0:
            return
        self._last_rebirth_s[node] = now_s
        self.counts["rebirths asked for"] += 1
        command = Metric(name="Node Control/Rebirth", value=True, datatype=DataType.BOOLEAN)
        content = encode(
            Payload(metrics=(command,), seq=None, timestamp_ms=int(1e3 * time.time())), with_names=True
        )
        self._client.publish(f"spBv1.0/{self._settings.topic}/NCMD/{node}", content, qos=0)


def _pattern(topic: str) -> re.Pattern[str]:
    levels = [
        f"(?P<{level[1:-1]}>[^/]+)" if level in ("{machine}", "{sensor}") else re.escape(level)
        for level in topic.split("/")
    ]
    return re.compile("^" + "/".join(levels) + "$")


def _piece(waveform: Metric, said: dict[str, Value], at_ms: int | None) -> Piece:
    """Return the burst of a device's metrics: its samples, and what else is there."""
    content = waveform.value if isinstance(waveform.value, bytes) else b""
    dtype = _SAMPLES.get(waveform.datatype, np.dtype("<f4"))
    if len(content) % dtype.itemsize:
        raise DataError(
            f"the metric 'samples' has {len(content)} bytes, no whole number of {dtype.name} samples."
        )

    def number(name: str) -> float | None:
        value = said.get(name)
        return float(value) if isinstance(value, int | float) and np.isfinite(value) else None

    unit, count = said.get("unit"), said.get("number")
    samples = np.frombuffer(content, dtype=dtype).astype(np.float64)
    if waveform.datatype is DataType.INT16_ARRAY:
        scale = number("scale")
        if scale is None or scale <= 0:
            raise DataError(f"samples of Int16Array need a metric 'scale' above 0; it is {scale}.")
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
