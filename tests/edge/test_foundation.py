"""The diagnoser that comes with the package, on waveforms that it has never met."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.edge.foundation import SHIPPED
from secateur.edge.runtime import Runtime
from secateur.signals.bearings.catalogue import known_bearing

RATE_HZ, SHAFT_HZ = 12_000.0, 29.5
ORDERS = known_bearing("6205")
TIME_S = np.arange(4 * 16_384) / RATE_HZ


@pytest.fixture(scope="module")
def runtime():
    return Runtime(SHIPPED)


def machine(order=None, *, seed=0):
    """Noise, shaft tones and, for a fault, a resonance struck in step with it."""
    rng = np.random.default_rng(seed)
    waveform = 0.3 * np.convolve(rng.standard_normal(len(TIME_S)), np.hanning(7), mode="same")
    waveform += 0.4 * np.cos(2 * np.pi * SHAFT_HZ * TIME_S) + 0.2 * np.cos(4 * np.pi * SHAFT_HZ * TIME_S)
    if order is not None:
        knocks = np.zeros(len(TIME_S))
        times = np.arange(0.0, TIME_S[-1], 1.0 / (order * SHAFT_HZ))
        load = 1.0 + 0.6 * np.cos(2 * np.pi * SHAFT_HZ * times) if order == ORDERS.bpfi else 1.0
        knocks[(times * RATE_HZ).astype(int)] = 4.0 * load
        ring_s = np.arange(200) / RATE_HZ
        ring = np.exp(-500.0 * ring_s) * np.sin(2 * np.pi * 2_900.0 * ring_s)
        waveform += np.convolve(knocks, ring)[: len(TIME_S)]
    return waveform


def diagnosed(runtime, waveform, shaft_hz=SHAFT_HZ):
    return runtime.diagnose(
        waveform, sampling_rate_hz=RATE_HZ, shaft_rate_hz=shaft_hz, fault_orders=ORDERS
    ).judgement


@pytest.mark.parametrize(("family", "label"), [("bpfi", "inner_race"), ("bpfo", "outer_race")])
def test_clear_faults_of_the_races_are_named(runtime, family, label):
    judgement = diagnosed(runtime, machine(getattr(ORDERS, family)))
    assert judgement.answer == judgement.rule.label == label


def test_a_healthy_machine_is_never_called_faulty(runtime):
    answers = {diagnosed(runtime, machine(seed=seed)).answer for seed in range(4)}
    assert answers <= {"normal", None}


@pytest.mark.parametrize(
    "waveform",
    [
        np.random.default_rng(1).standard_normal(len(TIME_S)),
        np.cos(2 * np.pi * 50.0 * TIME_S) + 1e-3 * np.random.default_rng(2).standard_normal(len(TIME_S)),
        np.cumsum(np.random.default_rng(3).standard_normal(len(TIME_S))),
    ],
    ids=["white noise", "hum", "drift"],
)
def test_what_is_no_bearing_is_refused(runtime, waveform):
    judgement = diagnosed(runtime, waveform)
    assert judgement.answer is None
    assert judgement.reasons


def test_it_says_what_it_was_set_on(runtime):
    record = runtime.manifest.abstention
    assert record.set_on == "held-out machines"
    assert 0.5 < record.least_confidence < 1.0
