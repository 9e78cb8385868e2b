"""Machines, bursts and databases for the agent's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_machines import SAMPLES, machine_settings, outer_race_knocks
from chromium import Chromium
from mosquitto import Mosquitto
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.machines import Machine
from secateur.edge.agent.outbox.database import Database


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


# a device without the extra `agent`: `make test-edge` runs there
NEEDED = ("paho", "google.protobuf", "starlette", "uvicorn", "hypothesis")
collect_ignore_glob = [] if all(map(_installed, NEEDED)) else ["test_*.py"]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chromium]:
    """A browser in a window of its own; the test is skipped where none is installed."""
    found = Chromium(tmp_path / "profile")
    found.resize(1280, 900)
    yield found
    found.close()


@pytest.fixture
def machine() -> Machine:
    return Machine.model_validate(machine_settings())


@pytest.fixture
def make_burst() -> Callable[..., Burst]:
    """Make a burst of noise, with knocks of the outer race if asked for."""

    def make(
        number: int = 0, *, knocks: float = 0.0, samples: np.ndarray | None = None, **said: Any
    ) -> Burst:
        if samples is None:
            random = np.random.default_rng(number)
            samples = random.standard_normal(SAMPLES) * 0.3
            if knocks:
                samples = samples + knocks * outer_race_knocks(random.uniform(0, 1))
        known = {
            "machine": "pump",
            "sensor": "drive-end",
            "measured_unix_s": 1.7e9 + number,
            "number": number,
        }
        return Burst(samples=samples.astype(np.float32), **(known | said))

    return make


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database(tmp_path / "agent.sqlite")
    yield found
    found.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    found = Mosquitto(tmp_path / "broker")
    yield found
    found.kill()
