"""Indicators have known values on known signals."""

from collections.abc import Callable

import numpy as np
import pytest

from agent_machines import RATE_HZ, SAMPLES, SPEED_RPM
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.signal.averaged import AveragedEnvelope
from secateur.edge.agent.signal.indicators import band_edges_hz, line_indicators, waveform_indicators
from secateur.signals.bearings.catalogue import known_bearing

EDGES = band_edges_hz(10.0, RATE_HZ, 6)
BAND = (3000.0, 5500.0)


def test_of_a_sine() -> None:
    time_s = np.arange(SAMPLES) / RATE_HZ
    line_hz = 100 * RATE_HZ / SAMPLES
    found = waveform_indicators(5.0 + 2.0 * np.sin(2 * np.pi * line_hz * time_s), RATE_HZ, EDGES)
    assert found["rms"] == pytest.approx(2**0.5)
    assert found["kurtosis"] == pytest.approx(1.5)
    assert found["crest_factor"] == pytest.approx(2**0.5, rel=1e-3)
    holds = 1 + int(np.searchsorted(EDGES, line_hz)) - 1
    levels = {name: value for name, value in found.items() if name.startswith("band_")}
    assert levels.pop(f"band_{holds}") == pytest.approx(2**0.5)
    assert max(levels.values()) < 1e-6


def test_bands_add_up_and_kurtosis_of_noise_is_three() -> None:
    noise = np.random.default_rng(3).standard_normal(1 << 18)
    found = waveform_indicators(noise, RATE_HZ, band_edges_hz(0.01, RATE_HZ, 9))
    assert sum(found[f"band_{n}"] ** 2 for n in range(1, 10)) == pytest.approx(found["rms"] ** 2, rel=1e-6)
    assert found["kurtosis"] == pytest.approx(3.0, abs=0.03)


def test_averaging_finds_a_line_that_one_burst_hides(make_burst: Callable[..., Burst]) -> None:
    orders = known_bearing("6205")
    weak, healthy = (AveragedEnvelope(bursts=64, band_hz=BAND) for _ in range(2))
    for number in range(64):
        shown = line_indicators(
            weak.add(make_burst(number, knocks=0.5).samples, RATE_HZ, SPEED_RPM / 60), orders
        )
        none = line_indicators(healthy.add(make_burst(number).samples, RATE_HZ, SPEED_RPM / 60), orders)
        if number == 0:
            assert max(none.values()) > 4.0
    assert shown["line_bpfo"] > 7.0
    assert shown["line_bpfo"] > max(shown["line_bpfi"], shown["line_bsf2"]) + 4.0
    assert max(none.values()) < 1.0


def test_a_varying_speed_does_not_smear_the_lines() -> None:
    average = AveragedEnvelope(bursts=50, band_hz=BAND)
    for number, rpm in enumerate(np.linspace(1500.0, 2000.0, 40)):
        random = np.random.default_rng(number)
        time_s = np.arange(SAMPLES) / RATE_HZ
        rate_hz = 3.585 * rpm / 60
        carrier = random.standard_normal(SAMPLES)
        x = carrier * (1 + 0.8 * np.cos(2 * np.pi * rate_hz * time_s)) + 0.1 * random.standard_normal(SAMPLES)
        spectrum = average.add(x.astype(np.float32), RATE_HZ, rpm / 60)
    assert spectrum.in_orders
    assert spectrum.bursts == 40
    peak = np.argmax(spectrum.amplitude[5:]) + 5
    assert peak * spectrum.step == pytest.approx(3.585, abs=spectrum.step)


def test_the_average_starts_anew_when_the_speed_leaves_its_range(make_burst: Callable[..., Burst]) -> None:
    average = AveragedEnvelope(bursts=8, band_hz=BAND)
    counts = [
        average.add(make_burst(n).samples, RATE_HZ, rate).bursts
        for n, rate in enumerate([30.0, 31.0, 60.0, 60.0, None, None, 60.0])
    ]
    assert counts == [1, 2, 1, 2, 1, 2, 1]


def test_rates_that_cannot_be_resolved_are_left_out() -> None:
    average = AveragedEnvelope(bursts=4, band_hz=BAND)
    short = np.random.default_rng(0).standard_normal(512).astype(np.float32)
    found = line_indicators(average.add(short, RATE_HZ, 5.0), known_bearing("6205"))
    assert found == {}
