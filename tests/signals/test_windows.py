"""Windows: where they lie, how they are scaled, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import ConfigError, DataError
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.recording import ArraySource, Recording
from secateur.signals.resample import resample
from secateur.signals.segment import Segment
from secateur.signals.windows import Windows, WindowSpec, normalise, window_starts

SPEC = WindowSpec(sampling_rate_hz=12_000.0, length=1024)


def recording(samples, *, name="r0", rate_hz=12_000.0, **known):
    samples = np.atleast_2d(np.asarray(samples, dtype=np.float32))
    return Recording(
        recording_id=name,
        source=ArraySource(samples),
        channels=tuple(f"c{number}" for number in range(len(samples))),
        sampling_rate_hz=rate_hz,
        group_id=f"group of {name}",
        dataset="test",
        **known,
    )


def noise(n_samples, seed=0):
    return np.random.default_rng(seed).standard_normal(n_samples).astype(np.float32)


def test_normalise_known_answer():
    assert normalise(np.array([1.0, 3.0, 1.0, 3.0])).tolist() == [-1.0, 1.0, -1.0, 1.0]


@given(gain=st.floats(1e-5, 1e5), offset=st.floats(-100.0, 100.0))
def test_normalise_forgets_level_and_offset(gain, offset):
    x = noise(512).astype(np.float64)
    found = normalise((x + offset) * gain)
    assert abs(found.mean()) < 1e-3
    assert np.sqrt(np.mean(found**2)) == pytest.approx(1.0, abs=1e-3)
    assert np.allclose(found, normalise(x), atol=1e-3)


@given(n=st.integers(0, 400), length=st.integers(1, 50), hop=st.integers(1, 60))
def test_windows_fit_and_none_is_missing(n, length, hop):
    starts = window_starts(n, length, hop)
    assert all(start + length <= n for start in starts)
    assert starts.tolist() == list(range(0, max(n - length + 1, 0), hop))


def test_items_carry_what_is_known():
    series = noise(5_000)
    orders = known_bearing("6205")
    known = recording(series, name="known", shaft_speed_rpm=1_800.0, fault_orders=orders)
    windows = Windows(
        [
            Segment(recording=known, label=2, start=100, stop=3_300),
            Segment.whole(recording(noise(2_048)), -1),
        ],
        SPEC,
        hop=1024,
    )
    assert len(windows) == 3 + 2
    assert windows.labels.tolist() == [2, 2, 2, -1, -1]
    item = windows[1]
    assert (item.start, item.label, item.recording_id, item.group_id) == (1124, 2, "known", "group of known")
    assert item.shaft_rate_hz == 30.0
    assert np.allclose(item.fault_orders, orders.as_array())
    assert np.allclose(item.waveform, normalise(series[1124:2148]), atol=1e-6)
    unknown = windows[-1]
    assert unknown.shaft_rate_hz == 0.0
    assert not unknown.fault_orders.any()
    with pytest.raises(IndexError):
        windows[5]


def test_batches_are_the_items_in_the_order_wanted():
    segments = [Segment.whole(recording(noise(4_096, seed), name=f"r{seed}"), seed) for seed in range(3)]
    windows = Windows(segments, SPEC, hop=512)
    order = np.random.default_rng(1).permutation(len(windows))
    batches = list(windows.batches(4, order))
    assert set(batches[0]) == {"waveform", "shaft_rate_hz", "fault_orders", "label"}
    assert [len(batch["label"]) for batch in batches] == [4, 4, 4, 4, 4, 1]
    stacked = np.concatenate([batch["waveform"] for batch in batches])
    assert stacked.dtype == np.float32
    for row, index in zip(stacked, order, strict=True):
        assert np.array_equal(row, windows[int(index)].waveform)


@pytest.mark.parametrize("cache_bytes", [256 << 20, 0])
def test_another_rate_is_resampled_cached_or_not(cache_bytes):
    series = noise(40_000)
    windows = Windows(
        [Segment.whole(recording(series, rate_hz=48_000.0), 0)], SPEC, hop=1024, cache_bytes=cache_bytes
    )
    whole = resample(series, 48_000.0, 12_000.0)
    assert len(windows) == 9
    for item in windows:
        expected = normalise(whole[item.start : item.start + 1024])
        assert np.abs(item.waveform - expected).max() < 1e-3


def test_the_cache_stays_within_its_bounds():
    segments = [Segment.whole(recording(noise(10_000, seed), name=f"r{seed}"), 0) for seed in range(8)]
    windows = Windows(segments, SPEC, hop=1024, cache_bytes=4 * 40_000)
    for _ in windows.batches(3):
        assert windows._series.held_bytes <= 4 * 40_000


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_named(bad):
    series = noise(5_000)
    series[4_321] = bad
    windows = Windows([Segment.whole(recording(series, name="broken"), 0)], SPEC, hop=1024)
    with pytest.raises(DataError, match=r"broken.*4321"):
        windows.take([0])


def test_a_flat_window_is_named():
    series = noise(5_000)
    series[1_024:2_048] = 0.4
    windows = Windows([Segment.whole(recording(series, name="dead"), 0)], SPEC, hop=1024)
    windows.take([0])
    with pytest.raises(DataError, match=r"dead, window from 0\.085 s.*flat"):
        windows.take([0, 1])


def test_channels_by_name_and_number():
    pair = recording(np.stack([noise(2_000, 1), noise(2_000, 2)]))
    by_name = Windows([Segment.whole(pair, 0)], SPEC, hop=1024, channel="c1")
    by_number = Windows([Segment.whole(pair, 0)], SPEC, hop=1024, channel=1)
    by_number_in_words = Windows([Segment.whole(pair, 0)], SPEC, hop=1024, channel="1")
    for windows in (by_number, by_number_in_words):
        assert np.array_equal(by_name[0].waveform, windows[0].waveform)
        assert windows.channel_name == "c1"
    other = recording(noise(2_000, 3), name="r1", unit="g")
    assert Windows([Segment.whole(r, 0) for r in (pair, other)], SPEC, hop=1024).channel_name == "c0"
    assert Windows([Segment.whole(other, 0)], SPEC, hop=1024).unit == "g"
    assert Windows([Segment.whole(r, 0) for r in (pair, other)], SPEC, hop=1024).unit is None
    in_metres = recording(noise(3_000), name="in metres", unit="m/s2")
    assert Windows([Segment.whole(r, 0) for r in (other, in_metres)], SPEC, hop=1024).unit == "g"
    with pytest.raises(DataError, match="c0, c1"):
        _ = Windows([Segment.whole(pair, 0)], SPEC, hop=1024, channel="DE")[0]


def test_wrong_use_is_refused():
    with pytest.raises(DataError, match="longer recordings"):
        Windows([Segment.whole(recording(noise(700)), 0)], SPEC, hop=1024)
    with pytest.raises(DataError, match="segment"):
        Segment(recording=recording(noise(10)), label=0, start=0, stop=11)
    with pytest.raises(ConfigError, match="rate must be positive"):
        WindowSpec(sampling_rate_hz=0.0)
    with pytest.raises(TypeError):
        WindowSpec()
