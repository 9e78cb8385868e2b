"""Each defect of a sensor or of its data is found, and a sound burst has none."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agent_machines import RATE_HZ, SAMPLES
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.machines import Machine
from secateur.edge.agent.signal.quality import MeasuredSpeed, assess

NOISE = np.random.default_rng(0).standard_normal(SAMPLES)


def _with(values: dict[Any, float], base: np.ndarray = NOISE) -> np.ndarray:
    changed = base.copy()
    for place, value in values.items():
        changed[place] = value
    return changed


DEFECTS = [
    ({"samples": NOISE}, (), "ok"),
    ({"samples": np.round(NOISE, 1)}, (), "ok"),
    ({"samples": NOISE, "sampling_rate_hz": RATE_HZ * 1.001}, (), "ok"),
    ({"samples": NOISE, "sampling_rate_hz": RATE_HZ * 1.01}, ("wrong rate",), "wrongly set up"),
    ({"samples": NOISE, "sampling_rate_hz": 25_600.0}, ("wrong rate",), "wrongly set up"),
    ({"samples": NOISE, "sampling_rate_hz": float("nan")}, ("wrong rate",), "wrongly set up"),
    ({"samples": NOISE, "unit": "m/s2"}, ("wrong unit",), "wrongly set up"),
    ({"samples": NOISE[:-1]}, ("wrong length",), "wrongly set up"),
    ({"samples": NOISE[:0]}, ("wrong length", "not finite"), "wrongly set up"),
    ({"samples": _with({7: np.nan})}, ("not finite",), "defect"),
    ({"samples": _with({7: np.inf})}, ("not finite",), "defect"),
    ({"samples": np.full(SAMPLES, 1.25)}, ("dead",), "defect"),
    ({"samples": np.zeros(SAMPLES)}, ("dead",), "defect"),
    ({"samples": 1e-6 * NOISE}, ("dead",), "defect"),
    ({"samples": np.clip(NOISE, -1, 1)}, ("clipped",), "defect"),
    ({"samples": np.clip(60 * NOISE, -50, 50)}, ("clipped",), "defect"),
    ({"samples": _with(dict.fromkeys(range(100, 400), 0.1))}, ("stuck",), "defect"),
    ({"samples": NOISE + 30}, ("offset",), "defect"),
]


@pytest.mark.parametrize("full_scale", [50.0, None])
@pytest.mark.parametrize(("said", "flags", "state"), DEFECTS)
def test_defects(
    said: dict[str, Any],
    flags: tuple[str, ...],
    state: str,
    full_scale: float | None,
    machine: Machine,
    make_burst: Callable[..., Burst],
) -> None:
    needs_scale = "offset" in flags or (flags == ("dead",) and said["samples"].std() > 0)
    if needs_scale and full_scale is None:
        flags, state = (), "ok"
    sensor = machine.sensors[0].model_copy(update={"full_scale": full_scale})
    quality = assess(make_burst(**said), sensor, machine.speed)
    assert (quality.flags, quality.sensor_state) == (flags, state)
    assert quality.usable is (state == "ok")


@pytest.mark.parametrize("speed_rpm", [0.0, 1800.0])
def test_silence_is_no_defect_of_a_machine_that_stands_still(
    speed_rpm: float, machine: Machine, make_burst: Callable[..., Burst]
) -> None:
    """A coarse converter gives one step all the time."""
    for samples in (np.zeros(SAMPLES), np.repeat([0.0, 0.01], SAMPLES // 2)):
        burst = make_burst(samples=samples, speed_rpm=speed_rpm)
        quality = assess(burst, machine.sensors[0], machine.speed, last_samples=samples.astype(np.float32))
        assert quality.sensor_state == ("defect" if speed_rpm else "ok")
        assert not quality.usable
    clipped = np.clip(60 * np.sin(np.arange(SAMPLES)), -50, 50)
    burst = make_burst(samples=clipped, speed_rpm=speed_rpm)
    assert assess(burst, machine.sensors[0], machine.speed).sensor_state == "defect"


SPEEDS = [
    ({}, {"rpm": 1500.0}, None, 1500.0, 0.0, ()),
    ({"speed_rpm": 1490.0}, {"rpm": 1500.0}, None, 1490.0, 0.0, ()),
    ({}, {}, None, None, None, ("speed unknown",)),
    ({}, {"max_age_s": 10}, MeasuredSpeed(rpm=900.0, age_s=9.0), 900.0, 9.0, ()),
    ({}, {"max_age_s": 10}, MeasuredSpeed(rpm=900.0, age_s=11.0), None, 11.0, ("speed stale",)),
    ({"speed_rpm": 0.0}, {}, None, None, 0.0, ("standing still",)),
    ({"speed_rpm": 90.0}, {"lowest_rpm": 100}, None, None, 0.0, ("standing still",)),
    ({"speed_rpm": -90.0}, {}, None, None, 0.0, ("speed not believed",)),
    ({"speed_rpm": float("nan")}, {}, None, None, 0.0, ("speed not believed",)),
    ({"speed_rpm": 4000.0}, {"highest_rpm": 3000}, None, None, 0.0, ("speed not believed",)),
]


@pytest.mark.parametrize(("said", "settings", "latest", "rpm", "age_s", "flags"), SPEEDS)
def test_speed(
    said: dict[str, Any],
    settings: dict[str, float],
    latest: MeasuredSpeed | None,
    rpm: float | None,
    age_s: float | None,
    flags: tuple[str, ...],
    machine: Machine,
    make_burst: Callable[..., Burst],
) -> None:
    speed = type(machine.speed).model_validate(settings)
    quality = assess(make_burst(**said), machine.sensors[0], speed, latest_speed=latest)
    assert (quality.speed_rpm, quality.speed_age_s, quality.flags) == (rpm, age_s, flags)
    assert quality.usable is (flags != ("standing still",))


@pytest.mark.parametrize(
    ("stated_unix_s", "flags"),
    [
        (5.0, ("clock not set",)),
        (9.5e8, ("clock not set",)),
        (1.6e9, ()),
        (1.7e9 + 59.0, ()),
        (1.7e9 + 61.0, ("clock ahead",)),
        (9e10, ("clock ahead",)),
    ],
)
def test_a_clock_that_is_wrong_is_told_and_not_gone_by(
    stated_unix_s: float, flags: tuple[str, ...], machine: Machine, make_burst: Callable[..., Burst]
) -> None:
    burst = make_burst(measured_unix_s=stated_unix_s)
    quality = assess(burst, machine.sensors[0], machine.speed, arrived_unix_s=1.7e9)
    assert (quality.flags, quality.usable, quality.sensor_state) == (flags, True, "ok")
    assert quality.measured_unix_s == (1.7e9 if flags else burst.measured_unix_s)


def test_a_time_of_arrival_tells_of_no_clock(machine: Machine, make_burst: Callable[..., Burst]) -> None:
    quality = assess(make_burst(measured_unix_s=5.0, timed=False), machine.sensors[0], machine.speed)
    assert (quality.flags, quality.measured_unix_s) == ((), 5.0)
