"""Random machines: reproducible, of the right kinematics, and with the defects that their labels name."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.signals.evidence import line_strengths
from secateur.signals.kinematics import BearingGeometry
from secateur.signals.lines import FAMILIES
from secateur.signals.simulator.machine_noises import knock_train, placed
from secateur.signals.simulator.machine_windows import BLOCK, UNKNOWN, machine_windows
from secateur.signals.simulator.machines import LABELS, draw_machines, kinematic_orders
from secateur.signals.simulator.strangers import STRANGERS, stranger_waveforms

RATE_HZ = 12_000.0
LENGTH = 16_384
FAMILY_OF = {"inner_race": "bpfi", "outer_race": "bpfo", "ball": "bsf2"}


@pytest.fixture(scope="module")
def windows():
    blocks = [machine_windows(3, block, length=LENGTH, sampling_rate_hz=RATE_HZ) for block in range(4)]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def test_a_block_depends_on_seed_and_number_alone():
    first = machine_windows(5, 2, length=4_096, sampling_rate_hz=RATE_HZ)
    machine_windows(5, 0, length=4_096, sampling_rate_hz=RATE_HZ)
    again = machine_windows(5, 2, length=4_096, sampling_rate_hz=RATE_HZ)
    other = machine_windows(6, 2, length=4_096, sampling_rate_hz=RATE_HZ)
    for name, values in first.items():
        assert np.array_equal(values, again[name])
    assert not np.array_equal(first["waveform"], other["waveform"])


def test_windows_are_what_a_model_takes(windows):
    waveform = windows["waveform"]
    assert waveform.shape == (4 * BLOCK, LENGTH)
    assert waveform.dtype == np.float32
    assert np.abs(waveform.mean(axis=1)).max() < 1e-4
    assert np.sqrt((waveform.astype(np.float64) ** 2).mean(axis=1)) == pytest.approx(1.0, abs=1e-3)
    assert set(windows["label"].tolist()) == {UNKNOWN, *range(len(LABELS))}
    assert (windows["shaft_rate_hz"] == 0).any()
    assert (windows["fault_orders"] == 0).any()


def test_slip_keeps_the_number_of_balls():
    balls, ratio = np.array([9.0]), np.array([7.94 / 39.04])
    exact = kinematic_orders(balls, ratio)[0]
    geometry = BearingGeometry(
        designation="6205", n_balls=9, ball_diameter_mm=7.94, pitch_diameter_mm=39.04
    ).orders
    assert exact == pytest.approx([geometry.bpfo, geometry.bpfi, geometry.bsf2, geometry.ftf])
    slipped = kinematic_orders(balls, ratio, 0.01)[0]
    assert slipped[0] == pytest.approx(0.99 * exact[0])
    assert slipped[0] + slipped[1] == pytest.approx(9.0)


def test_what_is_told_is_near_the_truth():
    machines = draw_machines(np.random.default_rng(0), 2_000)
    told = machines.told_shaft_hz > 0
    assert 0.9 < told.mean() < 0.98
    assert np.abs(machines.told_shaft_hz[told] / machines.shaft_hz[told] - 1.0).max() <= 0.01 + 1e-9
    known = machines.told_orders[:, 0] > 0
    assert np.abs(machines.told_orders[known] / machines.true_orders[known] - 1.0).max() < 0.05
    assert (machines.label == 0).mean() == pytest.approx(0.4, abs=0.05)


def test_the_line_of_the_fault_stands_out(windows):
    strength, _ = line_strengths(
        windows["waveform"], RATE_HZ, windows["shaft_rate_hz"], windows["fault_orders"]
    )
    known = ~np.isnan(strength[:, 0])
    healthy = strength[known & (windows["label"] == 0)]
    # most balls turn about changing axes and show no line
    for label, share in (("inner_race", 0.5), ("outer_race", 0.5), ("ball", 0.1)):
        column = FAMILIES.index(FAMILY_OF[label])
        faulty = strength[known & (windows["label"] == LABELS.index(label)), column]
        assert np.quantile(faulty, 1.0 - share) > np.quantile(healthy[:, column], 0.9)


def test_damaged_balls_without_lines_strike_all_the_same(windows):
    fourth = np.mean(windows["waveform"].astype(np.float64) ** 4, axis=1)
    healthy, ball = (fourth[windows["label"] == LABELS.index(label)] for label in ("normal", "ball"))
    assert np.median(ball) > np.quantile(healthy, 0.75)


def test_knocks_come_at_their_rate():
    rng = np.random.default_rng(0)
    times, strengths = knock_train(rng, np.array([50.0, 80.0]), np.array([0.0, 0.01]), 12_000, RATE_HZ)
    inside = strengths > 0
    assert inside.sum(axis=1).tolist() == [50, pytest.approx(80, abs=2)]
    assert np.diff(times[0][inside[0]]) == pytest.approx(240.0)


def test_impulses_keep_their_weight():
    train = placed(np.array([[2.25, 7.0]]), np.array([[4.0, 1.0]]), 10)
    assert train[0, [2, 3, 7]].tolist() == [3.0, 1.0, 1.0]
    assert train.sum() == 5.0


def constant(rng, time_s):
    return np.ones(len(time_s))


def test_every_stranger_moves_even_one_that_is_slower_than_the_window(monkeypatch):
    rng = np.random.default_rng(0)
    waveforms = stranger_waveforms(rng, 60, 8_192, RATE_HZ)
    assert np.isfinite(waveforms).all()
    assert (waveforms.std(axis=1) > 0.1).all()
    monkeypatch.setattr("secateur.signals.simulator.strangers.STRANGERS", {"square wave": constant})
    slow = stranger_waveforms(rng, 20, 4_096, RATE_HZ)
    assert (slow.std(axis=1) > 1e-5).all()
    assert np.abs(slow).max() < 1.0
    assert len(STRANGERS) == 10
