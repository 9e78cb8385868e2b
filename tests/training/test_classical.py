from __future__ import annotations

import numpy as np
import pytest

from secateur.core.errors import DataError
from secateur.signals.kinematics import FaultOrders
from secateur.signals.recording import ArraySource, Recording
from secateur.signals.segment import Segment
from secateur.signals.windows import Windows, WindowSpec
from secateur.training.classical import (
    described,
    fit_fault_line_regression,
    fit_forest,
    forest_features,
    spread_over_classes,
)
from secateur.training.evaluate import evaluate

RATE_HZ, LENGTH, SHAFT_HZ = 12_000.0, 8192, 30.0
ORDERS = FaultOrders(bpfo=3.585, bpfi=5.415, bsf2=4.714, ftf=0.398)
CLASSES = ("normal", "outer_race", "inner_race")


def rig(per_class: int, seed: int, resonances_hz: tuple[float, ...]) -> Windows:
    """Impulses at the outer or inner ball-pass rate that ring at a rig's resonances, or noise alone."""
    rng = np.random.default_rng(seed)
    segments = []
    for label, order in enumerate((None, ORDERS.bpfo, ORDERS.bpfi)):
        n = per_class * LENGTH
        samples = 0.3 * rng.standard_normal(n)
        if order is not None:
            impulses = np.zeros(n)
            period = RATE_HZ / (SHAFT_HZ * order)
            impulses[np.arange(rng.uniform(0, period), n, period).astype(int)] = 1.0
            t = np.arange(200) / RATE_HZ
            for resonance_hz in resonances_hz:
                ring = np.exp(-t * 800) * np.sin(2 * np.pi * resonance_hz * t)
                samples += 3 * np.convolve(impulses, ring)[:n]
        recording = Recording(
            recording_id=f"{seed}-{label}",
            source=ArraySource(samples[None].astype(np.float32)),
            channels=("x",),
            sampling_rate_hz=RATE_HZ,
            group_id=f"{seed}-{label}",
            dataset="rig",
            shaft_speed_rpm=60 * SHAFT_HZ,
            fault_orders=ORDERS,
        )
        segments.append(Segment.whole(recording, label))
    return Windows(segments, WindowSpec(sampling_rate_hz=RATE_HZ, length=LENGTH), hop=LENGTH)


@pytest.fixture(scope="module")
def train():
    return rig(10, 1, (3000.0,))


@pytest.fixture(scope="module")
def validation():
    return rig(4, 2, (3000.0,))


def test_fault_lines_carry_over_to_a_rig_with_another_resonance(train, validation):
    rival = fit_fault_line_regression(train, validation, n_classes=3, seed=0)
    other = rig(5, 3, (2100.0,))
    figures = evaluate(rival, other, classes=CLASSES, snr_curve_db=(-20.0, 10.0))
    assert figures.macro_f1 >= 0.9
    assert figures.parameters is None
    assert [point.snr_db for point in figures.snr_curve] == [-20.0, 10.0]
    assert figures.snr_curve[0].macro_f1 < figures.snr_curve[1].macro_f1


def test_after_a_last_fit_the_regression_knows_what_the_held_out_windows_alone_show(train, validation):
    clean_of_one = Windows([s for s in train.segments if s.label != 2], train.spec, hop=LENGTH)
    chosen, last = (
        fit_fault_line_regression(clean_of_one, validation, n_classes=3, seed=0, last_fit=last_fit)
        for last_fit in (False, True)
    )
    arrays = rig(2, 4, (3000.0,)).take(range(4, 6))
    assert 2 not in chosen.window_logits(arrays).argmax(axis=1)
    assert last.window_logits(arrays).argmax(axis=1).tolist() == [2, 2]


def test_the_forest_learns_its_own_rig_and_the_seed_decides(train, validation):
    one, again = (fit_forest(train, n_classes=3, seed=0, n_trees=20) for _ in range(2))
    assert evaluate(one, validation, classes=CLASSES).accuracy >= 0.9
    arrays = validation.take(range(6))
    np.testing.assert_array_equal(one.window_logits(arrays), again.window_logits(arrays))


def test_noisy_copies_are_beside_the_clean_windows(train):
    clean, labels = described(train, forest_features, copies=0, snr_db=(0.0, 0.0), seed=0)
    both, more = described(train, forest_features, copies=1, snr_db=(0.0, 0.0), seed=0)
    assert clean.shape[0] == 30
    assert both.shape[0] == 60
    np.testing.assert_array_equal(both[:30], clean)
    np.testing.assert_array_equal(more, np.tile(labels, 2))
    assert not np.allclose(both[30:], clean)


def test_a_class_never_trained_on_is_never_called(train):
    rival = fit_forest(train, n_classes=4, seed=0, copies=0, n_trees=5)
    logits = rival.window_logits(train.take(range(4)))
    assert logits.shape == (4, 4)
    assert (logits[:, 3] == logits.min()).all()
    assert (logits.argmax(axis=1) < 3).all()


def test_unlabelled_windows_are_refused(train):
    unlabelled = Windows([Segment.whole(train.segments[0].recording, -1)], train.spec, hop=LENGTH)
    with pytest.raises(DataError, match="10 windows have no label"):
        fit_forest(unlabelled, n_classes=3, seed=0)


def test_rare_classes_are_kept_whole_and_common_ones_thinned_evenly():
    labels = np.repeat([0, 1, 2], [1_000, 30, 500])
    chosen = spread_over_classes(labels, 200)
    assert np.bincount(labels[chosen]).tolist() == [85, 30, 85]
    assert len(set(chosen.tolist())) == 200
    assert np.diff(chosen[labels[chosen] == 0]).max() <= 13
    assert spread_over_classes(labels, 5_000).tolist() == list(range(1_530))
