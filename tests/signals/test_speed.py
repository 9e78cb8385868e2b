"""The shaft speed that the lines tell: found where they are clear, unknown where they are not."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from secateur.core.errors import DataError
from secateur.signals.simulator.collection import simulated_recordings
from secateur.signals.simulator.parameters import DEFAULT_RIGS
from secateur.signals.speed import LEAST_TURNS, refine_shaft_rate

RATE_HZ = 12_000.0


def shaft_lines(rate_hz: float, *, duration_s: float = 10.0, seed: int = 0, gain: float = 0.1) -> np.ndarray:
    time_s = np.arange(int(duration_s * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(seed).standard_normal(time_s.size)
    lines = sum(np.sin(2 * np.pi * n * rate_hz * time_s + n) for n in (1, 2, 3, 5))
    return noise + gain * lines


@pytest.mark.parametrize("off", [-0.023, -0.01, -0.005, 0.0, 0.005, 0.01, 0.023])
def test_the_rate_is_found_wherever_in_reach_the_nominal_one_lies(off):
    found = refine_shaft_rate(shaft_lines(29.53), RATE_HZ, 29.53 * (1 + off))
    assert found.refined_rpm == pytest.approx(60 * 29.53, rel=5e-4)
    assert found.gap == pytest.approx(1 / (1 + off) - 1, abs=5e-4)
    assert found.confidence > 0.5


def test_a_simulated_machine_with_healthy_and_damaged_bearings():
    pump = replace(DEFAULT_RIGS[2], speeds_rpm=DEFAULT_RIGS[2].speeds_rpm[:1])
    for recording in simulated_recordings(3, rigs=[pump])[::3]:
        samples = recording.read()[0]
        found = refine_shaft_rate(samples, recording.sampling_rate_hz, recording.shaft_rate_hz * 1.02)
        assert found.refined_hz == pytest.approx(recording.shaft_rate_hz, rel=0.002)


def test_noise_says_nothing():
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal(60_000)
        assert refine_shaft_rate(noise, RATE_HZ, 29.5).refined_hz is None


def test_the_mains_are_no_shaft():
    time_s = np.arange(120_000) / RATE_HZ
    hum = sum(np.sin(2 * np.pi * 60 * n * time_s) for n in range(1, 5))
    noise = np.random.default_rng(1).standard_normal(time_s.size)
    assert refine_shaft_rate(noise + hum, RATE_HZ, 29.53).refined_hz is None


def fault_lines(rate_hz: float, order: float, *, of_shaft: tuple[int, ...] = ()) -> np.ndarray:
    time_s = np.arange(120_000) / RATE_HZ
    lines = [n * order for n in range(1, 7)] + list(of_shaft)
    noise = np.random.default_rng(2).standard_normal(time_s.size)
    return noise + sum(0.5 * np.sin(2 * np.pi * line * rate_hz * time_s + line) for line in lines)


@pytest.mark.parametrize("order", [3.03, 3.98, 1.96])
def test_a_fault_line_beside_a_multiple_of_the_shaft_is_no_shaft(order):
    found = refine_shaft_rate(fault_lines(24.3, order), RATE_HZ, 24.3)
    assert found.refined_hz is None
    assert not found.points_beyond


def test_few_lines_are_no_shaft_where_the_mains_hide_the_lines_of_the_stated_one():
    time_s = np.arange(120_000) / RATE_HZ
    noise = np.random.default_rng(2).standard_normal(time_s.size)
    few = noise + sum(0.2 * np.sin(2 * np.pi * n * 50.6 * time_s) for n in (1, 3))
    assert refine_shaft_rate(few, RATE_HZ, 50.0).refined_hz is None


def test_a_motor_told_its_synchronous_speed_is_still_found():
    found = refine_shaft_rate(shaft_lines(24.6), RATE_HZ, 25.0)
    assert found.refined_hz == pytest.approx(24.6, rel=5e-4)


def test_lines_beyond_the_reach_are_told_and_not_taken():
    found = refine_shaft_rate(shaft_lines(29.53), RATE_HZ, 29.53 / 1.045)
    assert found.refined_hz is None
    assert found.gap is None
    assert re.search(r"177[12] rpm, \+4\.5 % from what is stated", found.doubt)


def test_too_short_flat_and_broken_recordings_are_unknown():
    brief = shaft_lines(29.53, duration_s=LEAST_TURNS / 30)
    assert "turns are too few" in refine_shaft_rate(brief, RATE_HZ, 29.53).doubt
    assert "flat" in refine_shaft_rate(np.ones(120_000), RATE_HZ, 29.53).doubt
    broken = shaft_lines(29.53)
    broken[77] = np.nan
    assert "not finite" in refine_shaft_rate(broken, RATE_HZ, 29.53).doubt
    assert "too high" in refine_shaft_rate(shaft_lines(29.53), RATE_HZ, 1797.0).doubt


@pytest.mark.parametrize("rate", [0.0, -29.5, np.nan, np.inf])
def test_rates_that_are_none_are_refused(rate):
    with pytest.raises(DataError, match="must be positive"):
        refine_shaft_rate(np.ones(1000), RATE_HZ, rate)
