"""Whatever settings of a sensor are accepted, its bursts give results; what cannot work is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.machines import Machine
from secateur.edge.agent.pipeline import SensorPath

RATES_HZ = st.sampled_from([1e-3, 0.5, 10.0, 25.0, 200.0, 12_000.0, 5e5, 1e8]) | st.floats(1e-3, 1e8)
BEARINGS = st.sampled_from(["6205", {"bpfo": 0.01, "bpfi": 0.02}, {"bpfo": 61.0, "bpfi": 400.0}, None])
SENSORS = st.fixed_dictionaries(
    {
        "name": st.just("a"),
        "sampling_rate_hz": RATES_HZ,
        "burst_samples": st.integers(64, 4096),
        "bearing": BEARINGS,
        "silent_after_s": st.just(1e9),
        "indicators": st.fixed_dictionaries(
            {"bands": st.integers(1, 24), "lowest_hz": st.sampled_from([1e-4, 0.1, 1.0, 10.0, 1e4])},
            optional={"envelope_band_hz": st.tuples(st.floats(0, 1e4), st.floats(0, 1e4))},
        ),
        "commissioning": st.just({"bursts": 8}),
    }
)
SPEEDS_RPM = st.sampled_from([1e-3, 2.0, 1500.0, 9e4]) | st.floats(1e-3, 1e5)


@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
@given(SENSORS, st.lists(SPEEDS_RPM, min_size=2, max_size=2))
def test_what_is_accepted_works(sensor: dict[str, Any], speeds_rpm: list[float]) -> None:
    try:
        machine = Machine.model_validate({"name": "m", "sensors": [sensor]})
    except ValidationError:
        return
    path = SensorPath(machine, machine.sensors[0])
    for number in range(10):
        samples = np.random.default_rng(number).standard_normal(machine.sensors[0].burst_samples)
        burst = Burst(
            machine="m",
            sensor="a",
            samples=samples.astype(np.float32),
            measured_unix_s=1.7e9,
            speed_rpm=speeds_rpm[number % 2],
        )
        result = path.process(burst, running_s=float(number)).result
        shown = [path.view.waveform(), path.view.spectrum(), path.view.envelope(), path.view.waterfall()]
        json.dumps([result, shown], allow_nan=False)
    assert result["bearing"]["learned"] == 1.0
