"""The plant of a fault run: the agent's process, a real broker, and a consumer that notes what comes."""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fault_child
import paho.mqtt.client as paho
from paho.mqtt.properties import Properties

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from mosquitto import Mosquitto

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["fault_child"])
BURSTS = 24
GUARD_S = 180.0
"""A run that hangs ends after so long; what it shows may not depend on how quick the machine is."""


class Consumer:
    """Subscribes with a session that the broker keeps, and notes every result in the order of its coming."""

    def __init__(self, port: int) -> None:
        self.seen: list[tuple[str, int, bool]] = []
        self.delay_s = 0.0
        self._ready = threading.Event()
        self._marks: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._mark = 0
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="consumer", protocol=paho.MQTTv5)
        client.on_connect = lambda c, *_: c.subscribe("out/#", qos=1)
        client.on_subscribe = lambda *_: self._ready.set()
        client.on_message = self._take
        client.reconnect_delay_set(1, 1)
        properties = Properties(paho.PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        client.connect("127.0.0.1", port, clean_start=False, properties=properties)
        client.loop_start()
        self._client = client
        self.wait_until_ready()

    def forget_ready(self) -> None:
        """Expect a new connection."""
        self._ready.clear()

    def wait_until_ready(self) -> None:
        """Wait until the broker has let the consumer in: a broker that was killed knows no session."""
        if not self._ready.wait(GUARD_S):
            raise TimeoutError("the consumer was not let in")

    def catch_up(self) -> None:
        """Wait until all that the broker has acknowledged is here.

        The broker serves its clients in turn and its messages in order: when a mark comes back, and nothing
        has come since the mark before, nothing was left to be handed on.
        """
        seen = -1
        while seen != len(self.seen):
            seen, self._mark = len(self.seen), self._mark + 1
            self._client.publish("out/mark", json.dumps({"mark": self._mark}), qos=1)
            try:
                while self._marks.get(timeout=GUARD_S) != self._mark:
                    pass
            except queue.Empty:
                raise TimeoutError("a mark did not come back to the consumer") from None

    def _take(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        if self.delay_s:
            time.sleep(self.delay_s)
        value = json.loads(message.payload)
        if "mark" in value:
            self._marks.put(value["mark"])
        if value.get("number") is not None:
            self.seen.append((value["sensor"], value["number"], bool(value["redelivered"] or message.dup)))

    def close(self) -> None:
        """Go."""
        self._client.disconnect()
        self._client.loop_stop()


class Plant:
    """The agent's process, its broker and its consumer."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng = folder, rng
        self.state = folder / "state"
        self.state.mkdir()
        self.broker = Mosquitto(folder / "broker")
        self.consumer = Consumer(self.broker.port)
        self.taken: set[int] = set()
        self.sent = 0
        self.waiting: int | None = None
        self.restarts = -1
        self.process: Any = None
        self.start()

    def start(self) -> None:
        """Start the agent and give it again what it has not acknowledged."""
        self.restarts += 1
        self.pipe, other = PROCESSES.Pipe()
        self.process = PROCESSES.Process(
            target=fault_child.run, args=(self.state, self.broker.port, other), daemon=True
        )
        self.process.start()
        other.close()
        self.until(lambda kind, _: kind == "ready")

    def until(self, holds: Callable[[str, Any], bool]) -> None:
        """Take what the agent says until it says what is waited for."""
        last_s = time.monotonic() + GUARD_S
        while time.monotonic() < last_s:
            if self.pipe.poll(0.05):
                kind, value = self.pipe.recv()
                self._note(kind, value)
                if holds(kind, value):
                    return
        raise TimeoutError(f"the agent did not answer; it stands here:\n{self._stacks()}")

    def _stacks(self) -> str:
        stacks = self.state / fault_child.STACKS_FILE
        if not stacks.exists():
            return "before its start"
        os.kill(self.process.pid, signal.SIGUSR1)
        time.sleep(0.5)
        return stacks.read_text()

    def _note(self, kind: str, value: Any) -> None:
        if kind == "taken":
            self.taken.add(value)
        elif kind == "waiting":
            self.waiting = value

    def listen(self, for_s: float) -> None:
        """Take what the agent says for a while."""
        last_s = time.monotonic() + for_s
        while (left_s := last_s - time.monotonic()) > 0:
            if self.pipe.poll(left_s):
                self._note(*self.pipe.recv())

    def feed(self, numbers: list[int]) -> None:
        """Send bursts with short pauses."""
        for number in numbers:
            self.pipe.send(("burst", number))
            self.sent = max(self.sent, number + 1)
            self.listen(self.rng.uniform(0, 0.01))

    def kill(self) -> None:
        """Kill the agent; what it said before counts."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        try:
            while self.pipe.poll(0):
                self._note(*self.pipe.recv())
        except (EOFError, OSError):
            pass
        self.pipe.close()

    def again(self) -> None:
        """Start after a kill, and send again what was not acknowledged."""
        self.start()
        self.feed(sorted(set(range(self.sent)) - self.taken))

    def settle(self) -> None:
        """Wait until everything has been taken and delivered."""
        self.pipe.send(("free",))
        self.feed([number for number in range(BURSTS) if number not in self.taken])
        last_s = time.monotonic() + GUARD_S
        while len(self.taken) < BURSTS and time.monotonic() < last_s:
            self.listen(0.05)
        self.waiting = None
        self.until(lambda kind, value: kind == "waiting" and value == 0)
        self.consumer.delay_s = 0.0
        while time.monotonic() < last_s and len({n for _, n, _ in self.consumer.seen}) < BURSTS:
            time.sleep(0.02)
        self.consumer.catch_up()

    def close(self) -> None:
        """End all three."""
        if self.process is not None and self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.consumer.close()
        self.broker.kill()
