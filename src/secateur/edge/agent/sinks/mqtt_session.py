"""One MQTT 5 connection that publishes and waits for acknowledgements; given up whole when it fails."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import paho.mqtt.client as paho
from paho.mqtt.properties import Properties

from secateur.edge.agent.config.connections import Broker
from secateur.edge.agent.mqtt import new_client, why_hung_up
from secateur.edge.agent.sinks.base import RecordRefused, SinkUnavailable


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message to publish.

    Attributes
    ----------
    topic : str
    content : bytes
    properties : dict of str to str
        User properties.
    """

    topic: str
    content: bytes
    properties: dict[str, str]


_ABOUT_THE_MESSAGE = (0x90, 0x99)
"""Reasons that a message itself earns: topic name invalid, payload format invalid. Rights and quotas of a
broker may change, so nothing is given up for their sake."""


class MqttSession:
    """A connection from its opening to its first failure.

    paho would send unacknowledged messages again by itself, unmarked; so a session that fails is thrown
    away, and what was not acknowledged comes again from the outbox, marked.

    Parameters
    ----------
    broker : Broker
    client_id : str
    acknowledged_within_s : float
    will : (str, bytes), optional
        Topic and content that the broker publishes if the connection breaks.
    on_message : callable, optional
        Takes topic and content of what is subscribed to.

    Raises
    ------
    SinkUnavailable
        If the broker cannot be reached, or refuses the connection.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        client_id: str,
        acknowledged_within_s: float,
        will: tuple[str, bytes] | None = None,
        on_message: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self._within_s = acknowledged_within_s
        self._client_id, self._tls = client_id, broker.tls
        self._where = f"{broker.host}:{broker.port}"
        self._state = threading.Condition()
        self._reason: Any = None
        self._closed: str | None = None
        self._answers: dict[int, Any] = {}
        self._subscribed: dict[int, Any] = {}
        self._on_message = on_message
        client, arguments = new_client(
            broker, client_id=client_id, clean_start=True, session_s=0, connects_again=False
        )
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_subscribe = self._answered
        client.on_message = self._received
        client.max_inflight_messages_set(1000)
        if will is not None:
            client.will_set(will[0], will[1], qos=1)
        self._client = client
        try:
            client.connect(**arguments)  # type: ignore[arg-type]
        except (OSError, ValueError) as error:
            raise SinkUnavailable(f"the broker at {self._where} cannot be reached: {error}.") from None
        client.loop_start()
        self._wait(lambda: self._reason is not None)
        if self._reason is None or self._reason.is_failure or self._closed:
            said = self._reason is not None and self._reason.is_failure  # more than that it then hung up
            reason = self._reason if said else self._closed or "no answer"
            self.close()
            raise SinkUnavailable(f"the broker at {self._where} refuses the connection: {reason}.")

    @property
    def is_open(self) -> bool:
        """Whether nothing has failed so far."""
        return self._closed is None

    def subscribe(self, topic: str) -> None:
        """Ask for messages.

        Raises
        ------
        SinkUnavailable
            If the broker does not allow it, or does not answer; the session is closed.
        """
        try:
            _, number = self._client.subscribe(topic, qos=1)
        except (ValueError, OSError) as error:
            self._fail(f"a subscription could not be sent to {self._where}: {str(error).rstrip('.')}.")
        self._wait(lambda: number in self._subscribed)
        answer = None if number is None else self._subscribed.pop(number, None)
        if answer is None or answer.is_failure:
            reason = answer or self._closed or f"no answer within {self._within_s:g} s"
            self._fail(f"the broker at {self._where} refuses the subscription to {topic}: {reason}.")

    def _fail(self, told: str) -> NoReturn:
        self.close()
        raise SinkUnavailable(told) from None

    def publish(self, messages: Sequence[Message], *, qos: int = 1) -> None:
        """Publish in order and wait until the broker has acknowledged each.

        Raises
        ------
        SinkUnavailable
            If it does not, in time; the session is closed.
        RecordRefused
            If the broker refuses a message.
        """
        numbers = [self._send(message, qos) for message in messages]
        if qos == 0:
            return
        with self._state:
            done = self._wait_locked(lambda: all(number in self._answers for number in numbers))
            answers = [self._answers.pop(number, None) for number in numbers]
        for index, answer in enumerate(answers):
            if answer is None:
                break
            if answer.is_failure:
                told = f"the broker at {self._where} refuses {messages[index].topic}: {answer}."
                if answer.value in _ABOUT_THE_MESSAGE:
                    raise RecordRefused(told, index=index)
                self.close()
                raise SinkUnavailable(told, acknowledged=index)
        if not done:
            acknowledged = answers.index(None) if None in answers else len(answers)
            reason = self._closed or f"no acknowledgement within {self._within_s:g} s"
            self.close()
            raise SinkUnavailable(f"the broker at {self._where}: {reason}.", acknowledged=acknowledged)

    def _send(self, message: Message, qos: int) -> int:
        properties = Properties(paho.PacketTypes.PUBLISH)  # type: ignore[attr-defined]
        properties.UserProperty = list(message.properties.items())
        properties.ContentType = (
            "application/json" if message.content[:1] == b"{" else "application/octet-stream"
        )
        try:
            return self._client.publish(message.topic, message.content, qos=qos, properties=properties).mid
        except (ValueError, OSError) as error:
            self._fail(f"a message could not be sent to {self._where}: {str(error).rstrip('.')}.")

    def close(self, *, last_words: Message | None = None) -> None:
        """Disconnect; ``last_words`` are published before, where the connection still stands."""
        if last_words is not None and self.is_open:
            with contextlib.suppress(SinkUnavailable, RecordRefused):
                self.publish([last_words])
        self._closed = self._closed or "closed"
        client = self._client
        client.disconnect()
        client.loop_stop()
        # no circle is left, so that its sockets go with it, and not when garbage is collected next
        client.on_connect = client.on_disconnect = client.on_publish = None
        client.on_subscribe = client.on_message = None

    def _wait(self, holds: Callable[[], bool]) -> bool:
        with self._state:
            return self._wait_locked(holds)

    def _wait_locked(self, holds: Callable[[], bool]) -> bool:
        last_s = time.monotonic() + self._within_s
        while not holds():
            left_s = last_s - time.monotonic()
            if left_s <= 0 or self._closed is not None:
                return False
            self._state.wait(min(left_s, 0.5))
        return True

    def _connected(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        with self._state:
            self._reason = reason
            self._state.notify_all()

    def _disconnected(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        with self._state:
            told = str(reason)
            if reason.is_failure:
                # many brokers close the older connection without a word, in place of reason 142
                twin = f"if it happens again, another client may use client_id '{self._client_id}'"
                told += f"; {why_hung_up(self._tls, answered=self._reason is not None) or twin}"
            self._closed = self._closed or f"disconnected ({told})"
            self._state.notify_all()

    def _published(self, _: Any, __: Any, number: int, reason: Any, ___: Any) -> None:
        with self._state:
            self._answers[number] = reason
            self._state.notify_all()

    def _answered(self, _: Any, __: Any, number: int, reasons: Any, ___: Any) -> None:
        with self._state:
            self._subscribed[number] = reasons[0]
            self._state.notify_all()

    def _received(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        if self._on_message is not None:
            self._on_message(message.topic, bytes(message.payload))
