"""Bursts of any length and any numbers give a result and pictures; none of them fails in the worker."""

from __future__ import annotations

import contextlib
import json

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agent_machines import SAMPLES
from secateur.core.errors import ConfigError
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.machines import Machine
from secateur.edge.agent.pipeline import SensorPath
from secateur.edge.agent.signal.quality import LOUDEST

LEAST_BURST = 64
"""Samples of a burst that the configuration takes."""

EXTREME = np.float32([0.0, -0.0, 1.0, -1.0, 1e-45, 1e-38, 3e38, -3e38, np.inf, -np.inf, np.nan])
SHORT = arrays.arrays(np.float32, st.integers(0, 200), elements=st.sampled_from(EXTREME))
WHOLE = st.tuples(SHORT, st.sampled_from([0.0, 1e-44, 1e-30, 1.0, 1e18, 1e30, 5e37])).map(
    lambda made: (
        np.random.default_rng(len(made[0])).standard_normal(SAMPLES).astype(np.float32) * made[1]
    ).astype(np.float32)
)


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.lists(SHORT | WHOLE, min_size=1, max_size=3))
def test_no_burst_fails(machine: Machine, bursts: list[np.ndarray]) -> None:
    for length in {*(len(samples) for samples in bursts if len(samples) >= LEAST_BURST), SAMPLES}:
        sensor = machine.sensors[0].model_copy(update={"burst_samples": length, "full_scale": None})
        path = SensorPath(machine, sensor)
        for number, samples in enumerate(bursts):
            burst = Burst(
                machine="pump", sensor="drive-end", samples=samples, measured_unix_s=1.7e9, number=number
            )
            result = path.process(burst, running_s=float(number)).result
            shown = [
                path.view.waveform(),
                path.view.spectrum(),
                path.view.envelope(),
                path.view.waterfall(),
            ]
            with contextlib.suppress(ConfigError):  # too short a burst for that band
                shown.append(path.view.envelope((1000.0, 3000.0)))
            json.dumps([result, shown], allow_nan=False)
            if len(samples) != length or not (np.abs(samples) <= LOUDEST).all():
                assert result["indicators"] == {}
                assert result["sensor_state"] != "ok"
