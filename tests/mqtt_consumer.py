"""A client that subscribes and keeps what comes, for tests with a real broker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho

from agent_machines import GUARD_S, until


class Consumer:
    """Subscribes and keeps what comes; its subscription outlives a broker that is stopped and started."""

    def __init__(self, port: int, topic: str, **tls: Any) -> None:
        self.messages: list[Any] = []
        self._ready = threading.Event()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id="consumer", protocol=paho.MQTTv5
        )
        kept = paho.Properties(paho.PacketTypes.CONNECT)
        kept.SessionExpiryInterval = 3600
        if tls:
            self.client.tls_set(**tls)
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = lambda _, __, message: self.messages.append(message)
        self.client.reconnect_delay_set(0.1, 0.1)
        host = "localhost" if tls else "127.0.0.1"
        self.client.connect(host, port, clean_start=False, properties=kept)
        self.client.loop_start()
        assert self._ready.wait(GUARD_S)

    def wait(self, holds: Callable[[list[Any]], bool]) -> list[Any]:
        until(lambda: holds(self.messages))
        return self.messages

    def publish(self, topic: str, content: bytes, qos: int = 1) -> None:
        self.client.publish(topic, content, qos=qos).wait_for_publish(GUARD_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
