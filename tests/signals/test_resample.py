"""Resampling: known tones, no aliases, and the same piece by piece."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.core.errors import DataError
from secateur.signals.recording import ArraySource
from secateur.signals.resample import ResampledReader, rate_ratio, resample

RATES = [(48_000.0, 12_000.0), (20_000.0, 12_000.0), (8_000.0, 12_000.0), (97_656.0, 12_000.0)]


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_tones_and_offset_are_kept(from_hz, to_hz):
    def wave(time_s):
        return 0.3 + np.sin(2 * np.pi * 417.3 * time_s) + 0.5 * np.cos(2 * np.pi * 3111.0 * time_s)

    given_series = wave(np.arange(int(from_hz)) / from_hz)
    found = resample(given_series, from_hz, to_hz)
    expected = wave(np.arange(len(found)) / to_hz)
    assert len(found) == to_hz
    assert np.abs(found - expected)[100:-100].max() < 1e-3


@pytest.mark.parametrize(("from_hz", "to_hz"), [*RATES, (12_800.0, 12_000.0), (25_600.0, 12_000.0)])
def test_the_bias_of_a_sensor_leaves_no_tone(from_hz, to_hz):
    series = np.random.default_rng(0).standard_normal(20_000)
    found = resample(series + 10_000.0, from_hz, to_hz) - 10_000.0
    assert np.abs(found - resample(series, from_hz, to_hz)).max() < 0.02


def test_what_lies_beyond_the_new_nyquist_rate_is_removed():
    time_s = np.arange(48_000) / 48_000.0
    for tone_hz in (6_050.0, 9_000.0, 20_000.0):
        found = resample(np.sin(2 * np.pi * tone_hz * time_s), 48_000.0, 12_000.0)
        assert np.abs(found[100:-100]).max() < 1e-3


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
@settings(max_examples=10)
@given(data=st.data())
def test_a_piece_equals_the_whole(from_hz, to_hz, data):
    samples = np.random.default_rng(0).standard_normal((2, 9_000)).astype(np.float32)
    reader = ResampledReader(ArraySource(samples), from_hz, to_hz)
    whole = resample(samples, from_hz, to_hz)
    assert whole.shape == (2, reader.n_samples)
    start = data.draw(st.integers(0, reader.n_samples - 2))
    stop = data.draw(st.integers(start + 1, reader.n_samples))
    assert np.abs(reader.read(start, stop) - whole[:, start:stop]).max() < 1e-4


def test_the_same_rate_changes_nothing():
    samples = np.random.default_rng(0).standard_normal(100).astype(np.float32)
    assert np.array_equal(resample(samples, 12_000.0, 12_000.0), samples)


class CountingSource(ArraySource):
    """Remembers the longest read."""

    longest = 0

    def read(self, start, stop):
        CountingSource.longest = max(CountingSource.longest, stop - start)
        return super().read(start, stop)


def test_a_piece_reads_little_more_than_itself():
    reader = ResampledReader(CountingSource(np.zeros((1, 1_000_000), dtype=np.float32)), 48_000.0, 12_000.0)
    reader.read(100_000, 108_192)
    assert CountingSource.longest < 4 * 8_192 + 400


@pytest.mark.parametrize(
    "from_hz", [25_600.7, 12_000.37, 11_999.9, 12_001.3, 25_641.0256, 200_000.3, 12_000.0 * np.pi, 1e7 + 3]
)
def test_the_rate_of_a_clock_that_is_a_little_off_is_resampled(from_hz):
    up, down = rate_ratio(from_hz, 12_000.0)
    assert up / down * from_hz == pytest.approx(12_000.0, rel=5e-5)
    assert max(up, down) <= 20_000


def test_rates_without_a_whole_ratio_are_refused():
    assert rate_ratio(48_000.0, 12_000.0) == (1, 4)
    assert rate_ratio(97_656.0, 12_000.0) == (500, 4_069)
    with pytest.raises(DataError, match="whole numbers"):
        rate_ratio(12_000.0, 30_000.0 * 12_000.0)
    with pytest.raises(DataError, match="positive"):
        rate_ratio(0.0, 12_000.0)
