"""A recording that fills most of a window gives one, its end mirrored; less gives none."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.core.errors import DataError
from secateur.signals.recording import ArraySource, Recording
from secateur.signals.segment import Segment
from secateur.signals.short_windows import filled, least_samples
from secateur.signals.windows import Windows, WindowSpec, normalise

LENGTH = 1000
SPEC = WindowSpec(sampling_rate_hz=12_000.0, length=LENGTH)


def segment(samples: int, *, rate_hz: float = 12_000.0, stop: int | None = None) -> Segment:
    waveform = np.random.default_rng(samples).standard_normal((1, samples)).astype(np.float32)
    recording = Recording(
        recording_id=f"r{samples}",
        source=ArraySource(waveform),
        channels=("DE",),
        sampling_rate_hz=rate_hz,
        group_id="g",
        dataset="D",
        fault_location="normal",
    )
    return Segment(recording=recording, label=0, start=0, stop=stop or samples)


@pytest.mark.parametrize("there", [700, 701, 850, 999])
def test_one_window_with_its_end_mirrored(there):
    one = segment(there)
    windows = Windows([one], SPEC, hop=LENGTH)
    assert len(windows) == 1
    samples = one.recording.read()[0]
    expected = np.concatenate([samples, samples[::-1][: LENGTH - there]])
    assert np.array_equal(windows[0].waveform, normalise(expected[None])[0])
    assert np.array_equal(expected[there:], expected[2 * there - LENGTH : there][::-1])


def test_at_another_rate_it_is_the_time_that_counts():
    assert len(Windows([segment(1400, rate_hz=24_000.0)], SPEC, hop=LENGTH)) == 1
    with pytest.raises(DataError, match=r"no window of 0\.083 s"):
        Windows([segment(1390, rate_hz=24_000.0)], SPEC, hop=LENGTH)


def test_less_gives_none_nor_does_a_part_of_a_longer_recording():
    for one in (segment(least_samples(LENGTH) - 1), segment(2000, stop=900)):
        with pytest.raises(DataError, match="no window"):
            Windows([one], SPEC, hop=LENGTH)


def test_long_recordings_are_cut_as_before():
    one = segment(2500)
    windows = Windows([one], SPEC, hop=500)
    assert windows.starts.tolist() == [0, 500, 1000, 1500]
    assert np.array_equal(windows[3].waveform, normalise(one.recording.read(1500, 2500))[0])


def test_a_whole_window_stays_as_it_is():
    whole = np.arange(10.0)
    assert np.array_equal(filled(whole, 10), whole)
    assert filled(np.arange(7.0), 10).tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 5, 4]
