"""Compact fault lines tell simulated faults apart without training."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.descriptors.fault_lines import (
    COMPACT_FAULT_LINE_NAMES,
    compact_fault_lines,
    line_rates_hz,
    sideband_rates_hz,
)
from secateur.signals.segment import Segment
from secateur.signals.simulator import simulated_recordings
from secateur.signals.simulator.parameters import DEFAULT_RIGS, DefectPhysics, Measurement
from secateur.signals.windows import Windows, WindowSpec

ORDERS = known_bearing("6205").as_array()[None]


def test_rates_are_harmonics_of_the_families():
    rates = line_rates_hz(np.array([30.0]), ORDERS)
    assert rates.shape == (1, 5, 3)
    assert rates[0, 0].tolist() == pytest.approx([30 * 3.58478, 60 * 3.58478, 90 * 3.58478], rel=1e-4)
    assert rates[0, 4].tolist() == [30.0, 60.0, 90.0]
    sides = sideband_rates_hz(np.array([30.0]), ORDERS)
    assert sides[0, 0].tolist() == pytest.approx([30 * 4.41522, 30 * 6.41522], rel=1e-4)
    assert sides[0, 1].tolist() == pytest.approx([30 * 4.31513, 30 * 5.11175], rel=1e-4)


@pytest.fixture(scope="module")
def described():
    recordings = simulated_recordings(
        7,
        rigs=DEFAULT_RIGS[:1],
        physics=DefectPhysics(sizes_mil=(14.0,), snr_db=(0.0,)),
        measurement=Measurement(normal_specimens=1, duration_s=3.0),
    )
    found = {}
    for location in ("normal", "outer_race", "inner_race", "ball"):
        segments = [Segment.whole(entry, 0) for entry in recordings if entry.fault_location == location]
        batch = Windows(segments, WindowSpec(sampling_rate_hz=12_000.0), hop=8_192).take(range(16))
        found[location] = compact_fault_lines(
            batch["waveform"], 12_000.0, batch["shaft_rate_hz"], batch["fault_orders"]
        )
    return found


@pytest.mark.parametrize(
    ("location", "family"), [("outer_race", "bpfo"), ("inner_race", "bpfi"), ("ball", "bsf2")]
)
def test_the_family_of_the_fault_stands_out(described, location, family):
    column = COMPACT_FAULT_LINE_NAMES.index(f"{family}_max")
    faulty = described[location][:, column]
    assert faulty.shape == (16,)
    for other, features in described.items():
        if other != location:
            assert np.quantile(faulty, 0.2) > np.quantile(features[:, column], 0.9)


def test_load_zone_modulation_is_seen(described):
    inner = COMPACT_FAULT_LINE_NAMES.index("bpfi_side_max")
    ball = COMPACT_FAULT_LINE_NAMES.index("bsf2_side_max")
    assert np.median(described["inner_race"][:, inner]) > np.median(described["outer_race"][:, inner]) + 0.5
    assert np.median(described["ball"][:, ball]) > np.median(described["outer_race"][:, ball]) + 0.5


def test_level_does_not_matter_and_windows_are_independent():
    windows = np.random.default_rng(0).standard_normal((3, 8_192)).astype(np.float32)
    shaft_rate_hz = np.array([30.0, 25.0, 0.0], dtype=np.float32)
    orders = np.repeat(ORDERS, 3, axis=0)
    together = compact_fault_lines(windows, 12_000.0, shaft_rate_hz, orders)
    alone = compact_fault_lines(50.0 * windows[1:2], 12_000.0, shaft_rate_hz[1:2], orders[1:2])
    assert together.shape == (3, len(COMPACT_FAULT_LINE_NAMES))
    assert together[1:2] == pytest.approx(alone, abs=1e-3)


def test_unknown_speed_gives_no_levels_but_kurtosis():
    windows = np.random.default_rng(0).standard_normal((1, 8_192)).astype(np.float32)
    features = compact_fault_lines(windows, 12_000.0, np.zeros(1), ORDERS)
    assert not features[:, :-3].any()
    assert features[:, -3:].all()
    without_bearing = compact_fault_lines(windows, 12_000.0, np.array([30.0]), np.zeros((1, 4)))
    named = dict(zip(COMPACT_FAULT_LINE_NAMES, without_bearing[0], strict=True))
    assert named["bpfo_max"] == named["bpfi_side_max"] == named["bsf2_side_mean"] == 0.0
    assert named["shaft_max"] != 0.0
