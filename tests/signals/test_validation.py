"""The validation part of a split: specimens that nothing was learnt from, where a class has several."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.signals.kinematics import FaultOrders
from secateur.signals.selection import by_location
from secateur.signals.splits import make_splits
from secateur.signals.validation import hold_back
from silent_recordings import case_western, own_data, recording, specimens


@settings(max_examples=20)
@given(
    counts=st.tuples(st.integers(3, 14), st.integers(3, 14), st.integers(3, 14)), seed=st.integers(0, 1_000)
)
def test_validation_is_of_specimens_that_nothing_was_learnt_from(counts, seed):
    recordings = own_data(dict(zip(("normal", "inner_race", "ball"), counts, strict=True)))
    (split,) = make_splits(recordings, "specimen", seed)
    assert not specimens(split.validation) & (specimens(split.train) | specimens(split.test))
    for label in range(3):
        learnt, judged = (
            specimens(segment for segment in side if segment.label == label)
            for side in (split.train, split.validation)
        )
        assert len(judged) == max(1, round(0.25 * (len(learnt) + len(judged))))
        assert learnt
    assert split.lone_classes == ()
    assert split.last_fit == (min(count - max(1, round(0.25 * count)) for count in counts) < 8)


def test_a_class_with_one_training_specimen_is_named_and_judged_by_the_end_of_its_recordings():
    (split,) = make_splits(own_data({"normal": 2, "inner_race": 12}), "specimen", seed=0)
    assert split.lone_classes == ("normal",)
    assert not split.last_fit
    healthy = [segment for segment in split.validation if segment.label == 0]
    stop_of = {segment.recording.recording_id: segment.stop for segment in split.train}
    assert healthy
    assert all(segment.start == stop_of[segment.recording.recording_id] for segment in healthy)
    damaged = [segment for segment in split.validation if segment.label == 1]
    assert not specimens(damaged) & specimens(split.train)


@settings(max_examples=20)
@given(seed=st.integers(0, 1_000))
def test_no_kind_of_machine_is_learnt_with_damages_alone(seed):
    kinds = (
        FaultOrders(bpfo=3.58, bpfi=5.42, bsf2=4.71, ftf=0.398),
        FaultOrders(bpfo=3.05, bpfi=4.95, bsf2=3.99, ftf=0.382),
    )
    recordings = [
        recording(f"{location}_{kind}_{number}", location, dataset="own", fault_orders=kinds[kind])
        for kind, healthy in enumerate((3, 5))
        for location, count in (("normal", healthy), ("inner_race", 4))
        for number in range(count)
    ]
    (split,) = make_splits(recordings, "specimen", seed)
    healthy = {segment.recording.fault_orders for segment in split.train if segment.label == 0}
    assert healthy == set(kinds)
    tested = [segment.recording.fault_orders for segment in split.test if segment.label == 1]
    assert set(tested) == set(kinds)


def test_a_specimen_that_two_classes_share_is_held_back_from_both():
    run_to_failure = [
        recording(f"{group}_{location}", location, group=group, dataset="own")
        for group in ("a", "b", "c")
        for location in ("normal", "ball")
    ]
    class_of = by_location(run_to_failure)
    held = hold_back(run_to_failure, class_of, ("normal", "ball"), seed=0, known_specimens=False)
    assert len(specimens(held.validation)) == 1
    assert not specimens(held.validation) & specimens(held.train)
    assert {segment.label for segment in held.train} == {0, 1}


def test_known_specimens_are_judged_by_the_end_of_their_recordings():
    (split,) = make_splits(case_western(), "load", seed=0)
    assert split.lone_classes == ()
    stop_of = {segment.recording.recording_id: segment.stop for segment in split.train}
    for segment in split.validation:
        assert segment.start == stop_of[segment.recording.recording_id]
        assert segment.stop == segment.recording.n_samples
        assert segment.duration_s == pytest.approx(2.0)
