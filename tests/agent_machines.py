"""Machines and waveforms for the agent's tests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.config.settings import AgentConfig
from secateur.edge.agent.intake import Submission
from secateur.edge.agent.outbox.database import RunningClock
from secateur.edge.agent.outbox.store import Record

GUARD_S = 60.0
"""A test that hangs ends after so long; no verdict may depend on how quick the machine is."""

RATE_HZ, SAMPLES, SPEED_RPM = 12_000.0, 4096, 1800.0


def sensor_settings(**changed: Any) -> dict[str, Any]:
    """Return a sensor as it stands in a configuration."""
    return {
        "name": "drive-end",
        "sampling_rate_hz": RATE_HZ,
        "burst_samples": SAMPLES,
        "full_scale": 50.0,
        "bearing": "6205",
        "commissioning": {"bursts": 20},
        "limits": {"raise_after": 3, "raise_window": 4, "clear_after": 4},
        **changed,
    }


def machine_settings(**changed: Any) -> dict[str, Any]:
    return {"name": "pump", "speed": {"rpm": SPEED_RPM}, "sensors": [sensor_settings(**changed)]}


def linked_config(tmp_path: Path, sources: list[Any], sinks: list[Any]) -> AgentConfig:
    """Return the configuration of one machine with these links."""
    value = {"machines": [machine_settings()], "sources": sources, "sinks": sinks}
    return parse_config(value, tmp_path / "agent.yaml")


def record(number: int) -> Record:
    return Record(
        seq=number,
        key=f"k{number}",
        kind="result",
        machine="pump",
        sensor="a",
        payload=json.dumps({"number": number, "bearing": {"level": "normal", "score": 1.5}}).encode(),
        created_unix_s=1.7e9,
        historical=False,
        redelivered=False,
    )


class FakeClock(RunningClock):
    """A running clock that stands where a test sets it."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_s(self) -> float:
        return self.at_s


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    last_s = time.monotonic() + GUARD_S
    while not holds():
        assert time.monotonic() < last_s, "it never came to hold"
        time.sleep(0.01)


def feed(agent: Agent, bursts: Iterable[Burst]) -> None:
    """Submit bursts and wait until each is done."""
    for burst in bursts:
        agent.intake.submit(Submission(burst=burst), timeout_s=GUARD_S)
    assert agent.intake.drain(GUARD_S)


def outer_race_knocks(phase: float, order: float = 3.585) -> np.ndarray:
    """Return rings of a 4 kHz mode at the outer race's rate of a 6205."""
    time_s = np.arange(SAMPLES) / RATE_HZ
    period_s = 1.0 / (order * SPEED_RPM / 60.0)
    since_s = (time_s + phase * period_s) % period_s
    return np.exp(-since_s / 0.0008) * np.sin(2 * np.pi * 4000.0 * since_s)
