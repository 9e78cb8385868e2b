"""The kinds of faults: each takes a plant and the numbers of its bursts, and does harm between them."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from itertools import pairwise

import fault_child
import paho.mqtt.client as paho
from fault_plant import Plant

from secateur.edge.agent.agent import DATABASE_FILE

DAY_S = 86_400.0


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
    plant.consumer.catch_up()
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
