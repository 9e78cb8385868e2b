"""What is published on the Case Western recordings is found in them; their splits are those of the task."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from secateur.signals.envelope import envelope_spectrum, fault_line_levels
from secateur.signals.readers.open import load_recordings
from secateur.signals.splits import make_splits
from secateur.signals.windows import Windows, WindowSpec

pytestmark = pytest.mark.data

FAMILIES = {"outer_race": 0, "inner_race": 1, "ball": 2}


@pytest.fixture(scope="module")
def cwru(cwru_dir):
    return load_recordings(cwru_dir)


def strongest(recording):
    frequency_hz, amplitude = envelope_spectrum(
        recording.read()[0], recording.sampling_rate_hz, (2_000.0, 4_500.0)
    )
    rates_hz = recording.shaft_rate_hz * recording.fault_orders.as_array()[None, :3]
    # 158.mat turns 1.4 % faster than its tachometer says, by its own shaft lines
    return fault_line_levels(
        amplitude[None], frequency_hz[1], rates_hz, surroundings_hz=10.0, tolerance=0.02
    )[0].argmax()


@pytest.mark.parametrize(
    ("location", "sizes", "expected"),
    [("inner_race", (7.0, 14.0, 21.0), 12), ("outer_race", (7.0, 21.0), 24)],
)
def test_the_labelled_line_is_the_strongest(cwru, location, sizes, expected):
    found = [
        strongest(entry) == FAMILIES[location]
        for entry in cwru
        if entry.fault_location == location
        and entry.fault_size_mil in sizes
        and entry.sampling_rate_hz == 12_000.0
    ]
    assert len(found) == expected
    assert all(found)


def test_load_task(cwru):
    (split,) = make_splits(cwru, "load", seed=0)
    assert len(split.classes) == 10
    assert split.leaks
    names = {
        side: sorted(segment.recording.recording_id for segment in getattr(split, side))
        for side in ("train", "test")
    }
    assert [name for name in names["train"] if "normal" in name] == ["cwru_normal_12k_0hp_97"]
    assert [name for name in names["test"] if "normal" in name] == ["cwru_normal_12k_3hp_100part"]
    assert len(names["train"]) == len(names["test"]) == 19
    assert not any("48k" in name for name in (*names["train"], *names["test"]))


def test_fault_size_task(cwru):
    splits = {split.protocol: split for split in make_splits(cwru, "fault_size:all", seed=0)}
    assert list(splits) == ["fault_size:7", "fault_size:14", "fault_size:21"]
    count = Counter(
        splits["fault_size:14"].classes[segment.label] for segment in splits["fault_size:14"].test
    )
    assert count == {"normal": 1, "inner_race": 4, "outer_race": 4, "ball": 4}
    windows = Windows(splits["fault_size:14"].validation, WindowSpec(sampling_rate_hz=12_000.0), hop=8_192)
    assert set(windows.labels) == {0, 1, 2, 3}
    batch = windows.take(np.arange(8))
    assert np.isfinite(batch["waveform"]).all()
    assert batch["shaft_rate_hz"].min() > 28.0
    assert batch["fault_orders"][0, 0] == pytest.approx(3.5848, abs=1e-3)


def test_speed_task_names_its_leak(uestc_dir):
    (split,) = make_splits(load_recordings(uestc_dir), "speed", seed=0)
    assert split.leaks
    assert split.classes == ("normal", "inner_race", "outer_race", "ball")
    windows = Windows(split.test, WindowSpec(sampling_rate_hz=12_000.0), hop=65_536)
    shaft_rate_hz = windows.take(np.arange(0, len(windows), 40))["shaft_rate_hz"]
    assert set(np.rint(60.0 * shaft_rate_hz)) == {1000.0, 1400.0}
