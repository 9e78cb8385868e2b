"""A fault matrix: seeded runs of the agent under kills, torn writes, a full disk, and a broker in trouble.

Each run feeds bursts of three sensors, sends again what was not acknowledged (as a source would), and
compares what a consumer behind a real broker has seen: nothing acknowledged may be lost, nothing may come
twice unmarked, and the order of each sensor must hold. ``benchmarks/agent/faults.py --runs 200 --out DIR``
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.properties import Properties

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "tests")]

import fault_child  # noqa: E402

from mosquitto import Mosquitto  # noqa: E402
from secateur.edge.agent.agent import DATABASE_FILE  # noqa: E402

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["fault_child"])
BURSTS = 24
DAY_S = 86_400.0


@dataclass
class Outcome:
    """What one run showed."""

    fault: str
    seed: int
    acknowledged: int = 0
    lost: int = 0
    doubled_unmarked: int = 0
    doubled_marked: int = 0
    reordered: int = 0
    restarts: int = 0
    seconds: float = 0.0
    trouble: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled_unmarked or self.reordered or self.trouble)


class Consumer:
    """Subscribes with a session that the broker keeps, and notes every result in the order of its coming."""

    def __init__(self, port: int) -> None:
        self.seen: list[tuple[str, int, bool]] = []
        self.delay_s = 0.0
        self._ready = threading.Event()
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
        if not self._ready.wait(15):
            raise TimeoutError("the consumer was not let in")

    def _take(self, _: Any, __: Any, message: paho.MQTTMessage) -> None:
        if self.delay_s:
            time.sleep(self.delay_s)
        value = json.loads(message.payload)
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
        self.broker = Mosquitto(
            folder / "broker", ["persistence true", f"persistence_location {folder}/broker/"]
        )
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
        self.until(lambda kind, _: kind == "ready", within_s=180.0)

    def until(self, holds: Callable[[str, Any], bool], within_s: float = 20.0) -> None:
        """Take what the agent says until it says what is waited for."""
        last_s = time.monotonic() + within_s
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
        last_s = time.monotonic() + 60.0
        while len(self.taken) < BURSTS and time.monotonic() < last_s:
            self.listen(0.05)
        self.waiting = None
        self.until(lambda kind, value: kind == "waiting" and value == 0, within_s=60.0)
        self.consumer.delay_s = 0.0
        while time.monotonic() < last_s and len({n for _, n, _ in self.consumer.seen}) < BURSTS:
            time.sleep(0.02)
        time.sleep(0.05)

    def close(self) -> None:
        """End all three."""
        if self.process is not None and self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.consumer.close()
        self.broker.kill()


def killed(plant: Plant, numbers: list[int]) -> None:
    """Kill -9 at random points, one to three times."""
    for piece in _pieces(plant.rng, numbers, plant.rng.randint(2, 4)):
        plant.feed(piece)
        plant.listen(plant.rng.uniform(0, 0.06))
        plant.kill()
        plant.again()


def torn(plant: Plant, numbers: list[int]) -> None:
    """A power cut: what was not synced when it came is torn, lost, or garbage."""
    for piece in _pieces(plant.rng, numbers, 3):
        plant.feed(piece)
        plant.listen(plant.rng.uniform(0, 0.03))
        plant.kill()
        _tear(plant)
        plant.again()


def _tear(plant: Plant) -> None:
    log = plant.state / f"{DATABASE_FILE}-wal"
    synced = int.from_bytes((plant.state / fault_child.SYNCED_FILE).read_bytes(), "little")
    (plant.state / f"{DATABASE_FILE}-shm").unlink(missing_ok=True)
    size = log.stat().st_size
    if size < synced:
        return
    how = plant.rng.choice(["cut", "cut in a sector", "zeros", "garbage", "garbage behind"])
    with log.open("r+b") as stream:
        if how.startswith("cut"):
            stream.truncate(synced + plant.rng.randint(0, max(size - synced, 0)))
        elif how == "zeros" and size > synced:
            stream.seek(synced + plant.rng.randrange(size - synced))
            stream.write(bytes(512))
        elif how == "garbage" and size > synced:
            stream.seek(synced)
            stream.write(plant.rng.randbytes(size - synced))
        else:
            stream.seek(0, os.SEEK_END)
            stream.write(plant.rng.randbytes(plant.rng.randint(1, 9000)))


def full(plant: Plant, numbers: list[int]) -> None:
    """The disk is full for a while; now and then the agent is killed meanwhile."""
    first, second, third = _pieces(plant.rng, numbers, 3)
    plant.feed(first)
    plant.pipe.send(("full",))
    plant.feed(second)
    plant.listen(plant.rng.uniform(0.1, 0.4))
    if plant.rng.random() < 0.5:
        plant.kill()
        plant.again()
    else:
        plant.pipe.send(("free",))
    plant.feed(third)


def broker_killed(plant: Plant, numbers: list[int]) -> None:
    """The broker is killed, away for a while, and back; what it had acknowledged it had handed on."""
    first, second, third = _pieces(plant.rng, numbers, 3)
    plant.feed(first)
    os.kill(plant.process.pid, signal.SIGSTOP)
    seen = -1
    while seen != len(plant.consumer.seen):
        seen = len(plant.consumer.seen)
        time.sleep(0.1)
    plant.broker.kill()
    os.kill(plant.process.pid, signal.SIGCONT)
    plant.feed(second)
    plant.listen(plant.rng.uniform(0, 0.5))
    if plant.rng.random() < 0.3:
        plant.kill()
        plant.again()
    os.kill(plant.process.pid, signal.SIGSTOP)
    plant.consumer.forget_ready()
    plant.broker.start()
    plant.consumer.wait_until_ready()
    os.kill(plant.process.pid, signal.SIGCONT)
    plant.feed(third)


def half_open(plant: Plant, numbers: list[int]) -> None:
    """The broker stops answering without closing the connection."""
    first, second, third = _pieces(plant.rng, numbers, 3)
    plant.feed(first)
    plant.broker.signal(signal.SIGSTOP)
    plant.feed(second)
    plant.listen(plant.rng.uniform(0.3, 0.9))
    plant.broker.signal(signal.SIGCONT)
    plant.feed(third)


def clock_jumps(plant: Plant, numbers: list[int]) -> None:
    """The wall clock jumps by a day, forwards and backwards, also over a restart."""
    for piece in _pieces(plant.rng, numbers, 4):
        plant.pipe.send(("clock", plant.rng.choice([-DAY_S, DAY_S, 0.0])))
        plant.feed(piece)
        if plant.rng.random() < 0.3:
            plant.kill()
            plant.again()


def same_client_id(plant: Plant, numbers: list[int]) -> None:
    """Another client takes the agent's identifier again and again."""
    for piece in _pieces(plant.rng, numbers, 4):
        plant.feed(piece)
        twin = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="the-agent", protocol=paho.MQTTv5)
        twin.connect("127.0.0.1", plant.broker.port)
        twin.loop_start()
        plant.listen(plant.rng.uniform(0.02, 0.1))
        twin.disconnect()
        twin.loop_stop()


def slow_consumer(plant: Plant, numbers: list[int]) -> None:
    """The consumer takes a while over each message; now and then the agent is killed."""
    plant.consumer.delay_s = plant.rng.uniform(0.01, 0.04)
    for piece in _pieces(plant.rng, numbers, 2):
        plant.feed(piece)
        if plant.rng.random() < 0.5:
            plant.kill()
            plant.again()


FAULTS: dict[str, Callable[[Plant, list[int]], None]] = {
    "kill -9": killed,
    "power cut, torn and lost writes": torn,
    "disk full": full,
    "broker killed": broker_killed,
    "half-open connection": half_open,
    "clock jumps of a day": clock_jumps,
    "duplicate client id": same_client_id,
    "slow consumer": slow_consumer,
}


def _pieces(rng: random.Random, numbers: list[int], count: int) -> list[list[int]]:
    cuts = sorted(rng.sample(range(1, len(numbers)), count - 1))
    edges = [0, *cuts, len(numbers)]
    return [numbers[first:last] for first, last in pairwise(edges)]


def one_run(fault: str, seed: int) -> Outcome:
    """Carry out one run; the same seed gives the same faults."""
    rng = random.Random(f"{fault}/{seed}")
    outcome = Outcome(fault=fault, seed=seed)
    started_s = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    plant = Plant(folder, rng)
    try:
        FAULTS[fault](plant, list(range(BURSTS)))
        plant.settle()
    except (TimeoutError, EOFError, OSError) as error:
        outcome.trouble = f"{type(error).__name__}: {error}"
    finally:
        plant.close()
        shutil.rmtree(folder, ignore_errors=True)
    _compare(plant, outcome)
    outcome.seconds = time.monotonic() - started_s
    return outcome


def _compare(plant: Plant, outcome: Outcome) -> None:
    seen = plant.consumer.seen
    outcome.acknowledged, outcome.restarts = len(plant.taken), plant.restarts
    outcome.lost = len(plant.taken - {number for _, number, _ in seen})
    unmarked = Counter(number for _, number, marked in seen if not marked)
    outcome.doubled_unmarked = sum(count - 1 for count in unmarked.values() if count > 1)
    outcome.doubled_marked = len(seen) - len({number for _, number, _ in seen}) - outcome.doubled_unmarked
    firsts: dict[str, list[int]] = {}
    for sensor, number, _ in seen:
        numbers = firsts.setdefault(sensor, [])
        if number not in numbers:
            numbers.append(number)
    for numbers in firsts.values():
        outcome.reordered += sum(after < before for before, after in pairwise(numbers))


@dataclass
class Table:
    """Counts over all runs of each fault."""

    rows: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Count one run."""
        row = self.rows.setdefault(outcome.fault, Counter())
        row["runs"] += 1
        for name in ("acknowledged", "lost", "doubled_unmarked", "doubled_marked", "reordered", "restarts"):
            row[name] += getattr(outcome, name)
        row["stuck"] += bool(outcome.trouble)

    def markdown(self) -> str:
        """Return the counts as a table."""
        names = (
            "runs",
            "restarts",
            "acknowledged",
            "lost",
            "doubled_unmarked",
            "doubled_marked",
            "reordered",
            "stuck",
        )
        titles = (
            "runs",
            "restarts",
            "acknowledged",
            "lost",
            "double, unmarked",
            "double, marked",
            "out of order",
            "stuck",
        )
        lines = [f"| fault | {' | '.join(titles)} |", "|---|" + "---:|" * len(names)]
        total: Counter[str] = Counter()
        for fault, row in self.rows.items():
            lines.append(f"| {fault} | {' | '.join(str(row[name]) for name in names)} |")
            total.update(row)
        lines.append(f"| **all** | {' | '.join(str(total[name]) for name in names)} |")
        return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=80)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="folder for faults.jsonl and faults.md")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = arguments.out / "faults.jsonl"
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known, table = {(entry["fault"], entry["seed"]) for entry in done}, Table()
    for entry in done:
        table.add(Outcome(**entry))
    names = list(FAULTS)
    for number in range(arguments.runs):
        fault, seed = names[number % len(names)], arguments.first_seed + number // len(names)
        if (fault, seed) in known:
            continue
        outcome = one_run(fault, seed)
        table.add(outcome)
        with log.open("a") as lines:
            lines.write(json.dumps(outcome.__dict__) + "\n")
        (arguments.out / "faults.md").write_text(table.markdown())
        print("ok " if outcome.is_good else "BAD", outcome, flush=True)


if __name__ == "__main__":
    main()
