"""Bursts from MQTT topics, acknowledged to the broker when their results are on the disk."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
from collections import Counter, deque
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.subscribeoptions import SubscribeOptions

from secateur.core.errors import DataError, SecateurError
from secateur.edge.agent.config.connections import MqttSource as MqttSourceSettings
from secateur.edge.agent.intake import IntakeFull, Submission
from secateur.edge.agent.mqtt import new_client, why_hung_up
from secateur.edge.agent.sources.assembly import Assembler, Place, place_of
from secateur.edge.agent.sources.base import Inlet, SourceStatus
from secateur.edge.agent.sources.payloads import Piece, from_json, from_raw
from secateur.edge.agent.sources.sparkplug import SparkplugFeed, burst_of, waveforms_in
from secateur.edge.agent.sparkplug.host import Data
from secateur.edge.agent.sparkplug.state import OwnState

log = logging.getLogger(__name__)

SESSION_S = 24 * 3600
MOST_HELD = 10
"""Parts of unfinished bursts, and data that wait for a birth, hold back so many acknowledgements; brokers
allow about twenty in all."""

SUBSCRIBE_AGAIN_S = 30.0
"""After the broker has refused it."""

MOST_TOLD = 256
"""Different reasons of refusals that are logged; the last one is always shown."""

Held = tuple[int, int, int]
"""Number and quality of service of a message that is not acknowledged yet, and its connection."""


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
        self._sparkplug = SparkplugFeed(settings.topic, inlet.places, self._publish)
        self._held: dict[Place, list[Held]] = {}
        self._held_order: deque[tuple[Place, Held]] = deque()
        self._told: set[str] = set()
        self._connected = threading.Event()
        self._answered = False
        self._connection = 0
        self._again: threading.Timer | None = None
        self._client, self._arguments = new_client(
            settings,
            client_id=settings.client_id or client_id,
            clean_start=False,
            session_s=SESSION_S,
            manual_ack=True,
        )
        self._state = None if settings.host_id is None else OwnState(settings.host_id)
        if self._state is not None:
            self._client.will_set(self._state.topic, self._state.will, qos=1, retain=True)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
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
        if self._again is not None:
            self._again.cancel()
        if self._state is not None and self._connected.is_set():
            self._connected.clear()
            with contextlib.suppress(ValueError, RuntimeError):
                gone = self._client.publish(self._state.topic, self._state.offline, qos=1, retain=True)
                gone.wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    def status(self) -> SourceStatus:
        """Return its state, for people."""
        counts = self.counts + self._assembler.counts + self._sparkplug.counts
        return {
            "name": self.name,
            "connected": self._connected.is_set(),
            "trouble": self.trouble,
            "last_refusal": self.last_refusal,
            "open_bursts": self._assembler.open + self._sparkplug.waiting,
            "counts": dict(counts),
        }

    def _on_connect(self, client: paho.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
        self._answered = True
        if reason.is_failure:
            self._tell(f"connection refused: {reason}")
            return
        self.trouble = ""
        self._connection += 1
        self._held.clear()
        self._held_order.clear()
        self._subscribe()

    def _subscribe(self) -> None:
        # what the broker retained was measured at a time that nobody knows: it would be shown as live
        wanted = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        topics = [self._settings.subscription] + ([] if self._state is None else [self._state.topic])
        self._client.subscribe([(topic, wanted) for topic in topics])

    def _on_subscribe(self, _: paho.Client, __: Any, ___: int, reasons: Any, ____: Any) -> None:
        refused = next((reason for reason in reasons if reason.is_failure), None)
        if refused is not None:
            self._tell(f"the broker refuses the subscription to {self._settings.subscription}: {refused}")
            self._again = threading.Timer(SUBSCRIBE_AGAIN_S, self._subscribe)  # rights may be given meanwhile
            self._again.daemon = True
            self._again.start()
            return
        self.trouble = ""
        if any(reason.value < 1 for reason in reasons):
            self._tell(
                "the broker gives bursts once at most (QoS 0): what comes while the agent is away is lost"
            )
        log.info("%s: connected", self.name)
        self._connected.set()
        self._say_online()

    def _say_online(self) -> None:
        if self._state is not None:
            self._client.publish(self._state.topic, self._state.online, qos=1, retain=True)

    def _on_publish(self, _: paho.Client, __: Any, ___: int, reason: Any, ____: Any) -> None:
        if reason.is_failure and self._state is not None:
            self._tell(f"the broker refuses {self._state.topic}: {reason}; nodes wait for the agent in vain")

    def _on_disconnect(self, client: paho.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
        was_connected, answered = self._connected.is_set(), self._answered
        self._connected.clear()
        self._answered = False
        if reason.is_failure:
            self.counts["disconnections"] += 1
            if was_connected or not self.trouble:  # else the broker has said why
                why = why_hung_up(self._settings.tls, answered=answered)
                self._tell(f"disconnected: {reason}" + (f"; {why}" if why else ""))

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
                most = self._inlet.most_samples(machine, sensor)
                self._take(machine, sensor, parse(content, most), [held])
        except IntakeFull:
            # not acknowledged: the broker gives it again when the connection is made anew
            log.warning("%s: too many bursts wait; the connection is made anew", self.name)
            threading.Thread(target=self._reconnect, daemon=True).start()
        except SecateurError as error:
            self._refuse(error, [held])
        except Exception:
            self.counts["failed"] += 1
            log.exception("%s: a message failed", self.name)
            self._acknowledge([held])

    def _refuse(self, error: SecateurError, held: list[Held]) -> None:
        self.counts["refused"] += 1
        self._tell_refusal(str(error))
        self._acknowledge(held)

    def _tell_refusal(self, reason: str) -> None:
        """Log each reason once: a gateway that is set up wrongly sends the same all day."""
        if reason not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(reason)
            log.warning("%s: message refused: %s", self.name, reason)
        self.last_refusal = reason

    def _place(self, topic: str) -> tuple[str, str]:
        found = self._pattern.match(topic)
        if found is None:
            raise DataError(f"topic {topic[:100]!r} does not name a machine and a sensor.")
        return found["machine"], found["sensor"]

    def _take(self, machine: str, sensor: str, piece: Piece, held: list[Held]) -> None:
        place = place_of(machine, sensor, piece)
        burst = self._assembler.add(machine, sensor, piece, most=self._inlet.most_samples(machine, sensor))
        if burst is None:
            for entry in held:
                self._hold(place, entry)
            return
        mine = [*self._held.pop(place, []), *held] if piece.parts > 1 else held
        self.counts["bursts"] += 1
        try:
            self._inlet.submit(Submission(burst=burst, done=lambda _: self._acknowledge(mine)))
        except IntakeFull:
            self._assembler.not_taken(place)
            raise

    def _hold(self, place: Place, held: Held) -> None:
        """Keep an acknowledgement until its burst is whole; give the oldest if too many wait."""
        if held[1] == 0:  # nothing is acknowledged
            return
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

    def _publish(self, topic: str, content: bytes) -> None:
        self._client.publish(topic, content, qos=0)

    def _reconnect(self) -> None:
        try:
            self._client.reconnect()
        except OSError as error:
            log.warning("%s: %s", self.name, error)

    def _take_sparkplug(self, topic: str, content: bytes, held: Held) -> None:
        if self._state is not None and topic == self._state.topic:
            if self._connected.is_set() and self._state.is_offline(content):  # late words of a former one
                self._say_online()
            self._acknowledge([held])
            return
        ticket = object()
        taken = self._sparkplug.take(topic, content, ticket)
        if taken.waits:
            self._hold(("", "", ticket), held)
        for place, data in enumerate(taken.data):
            mine = [held] if data.ticket is ticket else self._held.pop(("", "", data.ticket), [])
            if not data.whole:
                self._tell_refusal(f"data of {data.node}/{data.device} have aliases that no birth named.")
            try:
                self._take_data(data, mine)
            except IntakeFull:  # what is not acknowledged comes again
                for later in taken.data[place:]:
                    self.counts["turned away"] += 1
                    self._held.pop(("", "", later.ticket), None)
                raise
        if not taken.waits and all(data.ticket is not ticket for data in taken.data):
            self._acknowledge([held])

    def _take_data(self, data: Data, held: list[Held]) -> None:
        """Take all bursts of a message, which is acknowledged with the last of them."""
        pieces = []
        for waveform in waveforms_in(data):
            try:
                pieces.append(burst_of(data, waveform, self._inlet.most_samples(data.node, data.device)))
            except DataError as error:
                self._refuse(error, [])
        if not pieces:
            self._acknowledge(held)
        for piece in pieces:
            self._take(data.node, data.device, piece, held if piece is pieces[-1] else [])


def _pattern(topic: str) -> re.Pattern[str]:
    levels = [
        f"(?P<{level[1:-1]}>[^/]+)" if level in ("{machine}", "{sensor}") else re.escape(level)
        for level in topic.split("/")
    ]
    return re.compile("^" + "/".join(levels) + "$")
