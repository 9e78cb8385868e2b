"""The agent in a process that may be killed at any moment, driven through a pipe."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import resource
import signal
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from secateur.edge.agent.agent import DATABASE_FILE, Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.intake import Submission
from secateur.edge.agent.outbox import database as databases
from secateur.edge.agent.sinks import mqtt  # noqa: F401 - loaded before the fork, so that a start is quick

SAMPLES = 256
SENSORS = ("a", "b", "c")
SYNCED_FILE, STACKS_FILE = "synced", "stacks"
_real_time = time.time


def config_of(folder: Path, port: int) -> dict[str, Any]:
    """Return a configuration of three sensors and one MQTT sink that gives up quickly."""
    sensors = [{"name": name, "sampling_rate_hz": 1000, "burst_samples": SAMPLES} for name in SENSORS]
    return {
        "name": "agent",
        "state_folder": str(folder),
        "machines": [{"name": "m", "sensors": sensors}],
        "sinks": [
            {
                "type": "mqtt",
                "port": port,
                "topic": "out",
                "client_id": "the-agent",
                "acknowledged_within_s": 0.4,
            }
        ],
        "outbox": {"replay_per_s": 5000, "historical_after_s": 0.5},
        "log_level": "error",
    }


def run(folder: Path, port: int, pipe: Connection) -> None:
    """Take commands: ("burst", number), ("clock", seconds), ("full",), ("free",), ("stop",)."""
    logging.disable(logging.CRITICAL)
    # a run that hangs is asked where it stands
    faulthandler.register(signal.SIGUSR1, (folder / STACKS_FILE).open("w"), all_threads=True)
    _note_what_is_synced(folder)
    agent = Agent(parse_config(config_of(folder, port), folder / "agent.yaml"))
    agent.start()
    for delivery in agent.deliveries:
        delivery.longest_pause_s = 0.3
    pipe.send(("ready", None))
    while True:
        if not pipe.poll(0.02):
            pipe.send(("waiting", agent.outbox.status().rows))
            continue
        command, *values = pipe.recv()
        if command == "burst":
            _submit(agent, values[0], pipe)
        elif command == "clock":
            time.time = partial(_shifted_time, values[0])
        elif command == "full":
            _limit_files((folder / f"{DATABASE_FILE}-wal").stat().st_size + 5000)
        elif command == "free":
            _limit_files(resource.RLIM_INFINITY)
        elif command == "stop":
            agent.stop()
            pipe.send(("stopped", None))
            return


def _shifted_time(offset_s: float) -> float:
    return _real_time() + offset_s


def _submit(agent: Agent, number: int, pipe: Connection) -> None:
    sensor = SENSORS[number % len(SENSORS)]
    samples = np.random.default_rng(number).standard_normal(SAMPLES).astype(np.float32)
    burst = Burst(
        machine="m",
        sensor=sensor,
        samples=samples,
        measured_unix_s=1.7e9 + number,
        number=number,
        said_key=f"burst-{number}",
    )

    def done(reason: str | None) -> None:
        with contextlib.suppress(OSError):
            pipe.send(("taken" if reason is None else "refused", number))

    agent.intake.submit(Submission(burst=burst, done=done))


def _limit_files(most: int) -> None:
    """Let every file grow to so many bytes at most: what SQLite sees is a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


def _note_what_is_synced(folder: Path) -> None:
    """After each commit, note how long the log is: all before that has been synced."""
    handle = os.open(folder / SYNCED_FILE, os.O_RDWR | os.O_CREAT)
    original = databases.Database.transaction

    @contextlib.contextmanager
    def transaction(self: databases.Database, *, synced: bool = True) -> Iterator[Any]:
        with self._lock:
            with original(self, synced=synced) as connection:
                yield connection
            if self._depth == 0 and synced:
                size = Path(f"{self.path}-wal").stat().st_size
                os.pwrite(handle, size.to_bytes(8, "little"), 0)

    databases.Database.transaction = transaction  # type: ignore[method-assign]
