"""Noise without a line and tones without noise come from no machine; every recording of one has both."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from secateur.core.seeds import generator
from secateur.signals.no_machine import (
    LEAST_SAMPLES,
    NO_LINE,
    NO_NOISE,
    _log10_chance,
    clearest_line,
    noise_share,
    why_no_machine,
)
from secateur.signals.readers.open import load_recordings
from secateur.signals.simulator.strangers import STRANGERS

RATE_HZ = 12_000.0
NOISES = ("white noise", "coloured noise", "steps", "clicks", "drift")


def drawn(kind: str, samples: int, seed: int = 0) -> np.ndarray:
    rng = generator(seed, kind)
    signal = STRANGERS[kind](rng, np.arange(samples) / RATE_HZ)
    return signal + 1e-3 * rng.standard_normal(samples)


@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("samples", [LEAST_SAMPLES, 100_000])
def test_noise_of_any_colour_is_noise(kind, samples):
    assert {why_no_machine(drawn(kind, samples, seed)) for seed in range(20)} == {NO_LINE}


@pytest.mark.parametrize("averaged", [1, 2, 7, 64])
@pytest.mark.parametrize("level", [1.0, 3.0, 20.0])
def test_the_chance_is_that_of_the_gamma_distribution(averaged, level):
    distribution = stats.gamma(averaged, scale=1 / averaged)
    known = distribution.logsf(level * distribution.median()) / np.log(10)
    found = _log10_chance(level, averaged)
    # beyond 300 digits SciPy says that there is no chance at all
    assert found < -300 if np.isinf(known) else found == pytest.approx(known, rel=0.01, abs=0.02)


def test_white_noise_seldom_reaches_far():
    """Of a p-value one in ten lay above 1; the best of several lengths is no p-value any more."""
    found = [clearest_line(drawn("white noise", LEAST_SAMPLES, seed)) for seed in range(200)]
    assert np.mean(np.array(found) > 1) < 0.6  # several lengths are tried, and the local median varies
    assert max(found) < 6


@pytest.mark.parametrize("speed_changes", [0.0, 0.1])
def test_a_weak_shaft_line_is_enough(speed_changes):
    time_s = np.arange(60_000) / RATE_HZ
    turns = 180.0 * (time_s + 0.5 * speed_changes * time_s**2 / time_s[-1])
    noise = generator(0, "noise").standard_normal(len(time_s))
    assert why_no_machine(noise + 0.2 * np.cos(2 * np.pi * turns)) == ""
    assert why_no_machine(noise) == NO_LINE


@pytest.mark.parametrize(
    ("rate_hz", "samples"),
    [(12_000, 16_384), (25_600, 32_768), (48_000, 65_536), (64_000, 256_000), (200_000, 400_000)],
)
def test_a_healthy_machine_of_noise_and_slow_shaft_lines_is_one(rate_hz, samples):
    time_s = np.arange(samples) / rate_hz
    noise = generator(0, "noise").standard_normal(samples)
    shaft = np.cos(2 * np.pi * 29.95 * time_s) + 0.6 * np.cos(2 * np.pi * 59.9 * time_s)
    assert why_no_machine(noise + 0.2 * shaft) == ""


@pytest.mark.parametrize("amplitude", [0.01, 1.0, 1e6])
def test_tones_need_noise_between_them(amplitude):
    time_s = np.arange(40_000) / RATE_HZ
    tones = sum(np.cos(2 * np.pi * frequency_hz * time_s) for frequency_hz in (900.0, 2_345.0))
    noise = generator(0, "noise").standard_normal(len(time_s))
    assert why_no_machine(amplitude * (tones + 0.001 * noise)) == NO_NOISE
    assert why_no_machine(amplitude * (tones + 0.1 * noise)) == ""
    # below the band a machine may be as pure as it likes
    shaft = 100.0 * np.cos(2 * np.pi * 50.0 * time_s)
    assert why_no_machine(amplitude * (shaft + 0.1 * tones + 0.1 * noise)) == ""


def test_the_share_of_noise_is_that_of_its_power():
    time_s = np.arange(200_000) / RATE_HZ
    noise = generator(1, "noise").standard_normal(len(time_s))
    tone = np.sqrt(2.0) * 3.0 * np.cos(2 * np.pi * 1_000.0 * time_s)
    # 0.82 of the noise lies within the band
    assert noise_share(noise + tone) == pytest.approx(0.82 / (0.82 + 9.0), rel=0.1)


def test_short_broken_and_flat_waveforms_are_left_alone():
    noise = drawn("white noise", 4 * LEAST_SAMPLES)
    assert why_no_machine(noise[: LEAST_SAMPLES - 1]) == ""
    broken = noise.copy()
    broken[5] = np.nan
    assert why_no_machine(broken) == NO_LINE
    assert clearest_line(np.full(LEAST_SAMPLES, np.nan)) == 0.0
    assert noise_share(np.full(LEAST_SAMPLES, np.nan)) == 1.0
    assert clearest_line(np.ones(LEAST_SAMPLES)) == 0.0
    assert clearest_line(noise) == pytest.approx(clearest_line(1e9 * noise + 5.0), abs=1e-3)


@pytest.mark.parametrize("name", ["cwru", "cwru_fan_end", "uestc", "femto"])
def test_every_recording_of_a_machine_is_one(cwru_dir, name):
    for recording in load_recordings(cwru_dir.parent / name):
        assert why_no_machine(recording.read(0, 4 * LEAST_SAMPLES)[0]) == "", recording.recording_id
