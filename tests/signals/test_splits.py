"""Split protocols: what stands where, what leaks, what is refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secateur.core.errors import ConfigError, DataError
from secateur.signals.protocols import PROTOCOLS, Protocol
from secateur.signals.splits import make_splits, parse_protocol
from silent_recordings import case_western, own_data, recording

TEN = (
    "normal",
    *(f"{place}_{size}" for place in ("inner_race", "outer_race", "ball") for size in ("007", "014", "021")),
)
FOUR = ("normal", "inner_race", "outer_race", "ball")


def ids(segments):
    return {segment.recording.recording_id for segment in segments}


def spans(segments):
    return [
        (segment.recording.recording_id, segment.label, segment.start, segment.stop) for segment in segments
    ]


def loads(segments, *, normal):
    return {
        segment.recording.load
        for segment in segments
        if (segment.recording.fault_location == "normal") == normal
    }


def test_load():
    (split,) = make_splits(case_western(), "load", seed=0)
    assert split.classes == TEN
    assert split.leaks
    assert "10 of 10" in split.leak_reason
    assert loads(split.train, normal=False) == {0.0, 1.0}
    assert loads(split.test, normal=False) == {2.0, 3.0}
    assert (loads(split.train, normal=True), loads(split.test, normal=True)) == ({0.0}, {3.0})
    everything = [*split.train, *split.test]
    assert {segment.recording.position for segment in everything} == {None, "6:00"}
    assert {segment.recording.sampling_rate_hz for segment in everything} == {1_000.0}
    assert 28.0 not in {segment.recording.fault_size_mil for segment in everything}
    for segment in everything:
        expected = str(segment.recording.fault_location)
        if expected != "normal":
            expected += f"_{segment.recording.fault_size_mil:03g}"
        assert split.classes[segment.label] == expected


def test_load_with_noise_differs_in_the_noise_only():
    (plain,) = make_splits(case_western(), "load", seed=0)
    (noisy,) = make_splits(case_western(), "load@-6", seed=0)
    assert noisy.test_snr_db == -6.0
    assert ids(noisy.test) == ids(plain.test)
    assert plain.test_snr_db is None


@pytest.mark.parametrize("size", [7.0, 14.0, 21.0])
def test_fault_size(size):
    (split,) = make_splits(case_western(), f"fault_size:{size:g}", seed=0)
    assert split.classes == FOUR
    assert not split.leaks
    assert "one bearing at two loads" in split.caveat
    sizes_of = {
        side: {segment.recording.fault_size_mil for segment in getattr(split, side)} - {None}
        for side in ("train", "validation", "test")
    }
    assert sizes_of["test"] == {size}
    assert sizes_of["train"] | sizes_of["validation"] == {7.0, 14.0, 21.0} - {size}
    if size != 14.0:
        positions = {segment.recording.position for segment in split.test}
        assert positions == {None, "6:00", "3:00"}
    assert loads(split.train, normal=True) == {0.0}
    assert loads(split.test, normal=True) == {3.0}
    groups = split.groups()
    assert set(groups["train"]) & set(groups["test"]) == {"n"}


def test_fault_size_defaults_and_extras():
    assert [split.protocol for split in make_splits(case_western(), "fault_size:all", 0)] == [
        "fault_size:7",
        "fault_size:14",
        "fault_size:21",
    ]
    assert make_splits(case_western(), "fault_size", 0)[0].protocol == "fault_size:14"
    (more,) = make_splits(case_western(), "fault_size:14", 0, extra_sizes_in_training=True)
    assert 28.0 in {segment.recording.fault_size_mil for segment in more.train}
    assert 28.0 not in {segment.recording.fault_size_mil for segment in more.test}


def test_faults_at_the_other_end_of_the_motor_are_left_out():
    recordings = [
        replace(entry, subset="" if entry.fault_location == "normal" else "12k_drive_end")
        for entry in case_western()
    ]
    other_end = recording("fan", "ball", load=0.0, size=7.0, subset="12k_fan_end")
    (split,) = make_splits([*recordings, other_end], "fault_size:14", seed=0)
    assert "fan" not in ids(split.train)


def test_original_normals_are_taken_where_no_copies_exist():
    recordings = [entry for entry in case_western() if not entry.recording_id.endswith("_1000")]
    (split,) = make_splits(recordings, "load", seed=0)
    rates = {
        segment.recording.sampling_rate_hz
        for segment in split.train
        if segment.recording.fault_location == "normal"
    }
    assert rates == {4_000.0}


@pytest.mark.parametrize(
    "protocol", ["load", "fault_size:14", "random_window", "few_labels:10", "few_labels:50"]
)
@settings(max_examples=5)
@given(seed=st.integers(0, 1_000))
def test_no_sample_stands_twice(protocol, seed):
    (split,) = make_splits(case_western(), protocol, seed)
    taken = Counter()
    for segment in (*split.train, *split.validation, *split.test, *split.unlabelled):
        mark = np.zeros(segment.recording.n_samples, dtype=int)
        mark[segment.start : segment.stop] = 1
        taken[segment.recording.recording_id] += mark
    assert all(count.max() == 1 for count in taken.values())


def test_random_window_leaks_and_says_so():
    (split,) = make_splits(case_western(), "random_window", seed=3)
    assert split.leaks
    assert ids(split.train) == ids(split.test) == ids(split.validation)
    sides = (split.train, split.validation, split.test)
    total = np.array([sum(segment.duration_s for segment in side) for side in sides])
    assert total / total.sum() == pytest.approx([0.6, 0.2, 0.2], abs=0.02)
    (again,) = make_splits(case_western(), "random_window", seed=3)
    (other,) = make_splits(case_western(), "random_window", seed=4)
    assert spans(again.test) == spans(split.test) != spans(other.test)


def speeds_set(dataset="UESTC"):
    return [
        recording(
            f"{location}_{speed}_{piece}",
            location,
            group=f"{location}_{speed}",
            load=None,
            dataset=dataset,
            speed=float(speed),
            specimens_documented=False,
        )
        for location in FOUR
        for speed in (800, 1000, 1200, 1400)
        for piece in (1, 2)
    ]


def test_speed_names_the_leak_though_groups_differ():
    (split,) = make_splits(speeds_set(), "speed", seed=0)
    assert {segment.recording.nominal_speed_rpm for segment in split.test} == {1000.0, 1400.0}
    assert not set(split.groups()["train"]) & set(split.groups()["test"])
    assert split.leaks
    assert "4 of 4 test specimens may be (specimens are not documented)" in split.leak_reason
    (one,) = make_splits(speeds_set(), "speed:1200", seed=0)
    assert {segment.recording.nominal_speed_rpm for segment in one.test} == {1200.0}


def test_cross_dataset_both_ways():
    both = case_western() + speeds_set()
    (first,) = make_splits(both, "cross_dataset", seed=0)
    (named,) = make_splits(both, "cross_dataset:cwru", seed=0)
    assert {segment.recording.dataset for segment in first.test} == {"UESTC"}
    assert {segment.recording.dataset for segment in named.test} == {"CWRU"}
    assert {segment.recording.dataset for segment in named.train} == {"UESTC"}
    assert not first.leaks
    assert not named.leaks


@pytest.mark.parametrize("percent", [1, 10, 50])
def test_few_labels_keeps_that_share(percent):
    (full,) = make_splits(case_western(), "load", seed=0)
    (few,) = make_splits(case_western(), f"few_labels:{percent}", seed=0)
    assert few.classes == full.classes
    assert {segment.label for segment in few.train} == set(range(10))
    assert {segment.label for segment in few.unlabelled} == {-1}
    total = sum(segment.duration_s for segment in full.train)
    kept = sum(segment.duration_s for segment in few.train)
    without = sum(segment.duration_s for segment in few.unlabelled)
    assert kept + without == pytest.approx(total)
    assert few.leaks == full.leaks
    for label in range(10):
        of_class = sum(segment.duration_s for segment in full.train if segment.label == label)
        kept_of_class = sum(segment.duration_s for segment in few.train if segment.label == label)
        piece_s = 1.0
        assert kept_of_class == pytest.approx(max(percent / 100 * of_class, piece_s), abs=0.5 * piece_s)
    assert spans(few.test) == spans(full.test)
    (other,) = make_splits(case_western(), f"few_labels:{percent},fault_size:14", seed=0)
    assert other.classes == FOUR


@settings(max_examples=20)
@given(counts=st.tuples(st.integers(2, 6), st.integers(2, 6), st.integers(2, 6)), seed=st.integers(0, 1_000))
def test_specimen_never_shares_a_group(counts, seed):
    recordings = own_data(dict(zip(("normal", "inner_race", "ball"), counts, strict=True)))
    (split,) = make_splits(recordings, "specimen", seed)
    groups = split.groups()
    assert not split.leaks
    assert not set(groups["train"]) & set(groups["test"])
    assert not set(groups["validation"]) & set(groups["test"])
    for side in (split.train, split.test):
        assert {segment.label for segment in side} == {0, 1, 2}


def test_unlabelled_recordings_are_training_material_unless_of_a_test_specimen():
    recordings = own_data({"normal": 4, "ball": 4})
    (split,) = make_splits(recordings, "specimen", seed=0)
    in_test = split.groups()["test"][0]
    extra = [
        recording("x1", None, group="elsewhere", dataset="own"),
        recording("x2", None, group=in_test, dataset="own"),
    ]
    (more,) = make_splits(recordings + extra, "specimen", seed=0)
    assert ids(more.unlabelled) == {"x1"}


@pytest.mark.parametrize(
    ("recordings", "protocol", "message"),
    [
        (own_data({"normal": 2, "ball": 1}), "specimen", "class ball has one specimen"),
        (own_data({"normal": 4}), "specimen", "only class is normal"),
        (speeds_set(), "specimen", "not documented, so its 8 recordings may all be of one bearing"),
        (speeds_set(), "load", "load of 32 recordings is unknown"),
        (speeds_set(), "fault_size", "size of 24 of 24 faults is unknown"),
        (own_data({"normal": 4}), "fault_size", "there is no recording of a fault"),
        ([entry for entry in case_western() if (entry.fault_location, entry.fault_size_mil) not in
          (("ball", 7.0), ("inner_race", 14.0))], "fault_size", r"is 21 \(sizes in mil: ball: 14, 21"),
        (case_western(), "fault_size:8", "allowed: 7, 14, 21"),
        (case_western(), "fault_size:28", "allowed: 7, 14, 21"),
        (case_western(), "speed", "nominal speed"),
        (case_western(), "cross_dataset", "needs two"),
        (case_western() + speeds_set(), "cross_dataset:jnu", "allowed: CWRU, UESTC"),
        ([entry for entry in case_western() if entry.load == 0.0], "load", "at 0 load only"),
        ([entry for entry in case_western() if entry.fault_location != "normal" or entry.load == 0.0],
         "load", "two specimens, or one at two loads"),
        ([entry for entry in case_western() + speeds_set()
          if entry.dataset != "CWRU" or entry.fault_location != "ball"],
         "cross_dataset", "class ball is absent from training"),
        ([], "load", "label"),
    ],
)  # fmt: skip
def test_what_cannot_hold_is_named(recordings, protocol, message):
    with pytest.raises(DataError, match=message):
        make_splits(recordings, protocol, seed=0)


def test_a_damaged_specimen_on_both_sides_is_refused():
    mixed = [
        replace(entry, group_id="same ring") if entry.fault_location == "inner_race" else entry
        for entry in case_western()
    ]
    with pytest.raises(DataError, match=r"must not leak.*same ring"):
        make_splits(mixed, "fault_size:14", seed=0)


def test_protocols_are_read_and_written():
    assert parse_protocol("load@-6") == Protocol(name="load", test_snr_db=-6.0)
    assert parse_protocol("fault_size:14@2.5") == Protocol(name="fault_size", argument="14", test_snr_db=2.5)
    assert parse_protocol("few_labels:5,fault_size:14").argument == "5,fault_size:14"
    for text in ("load@-6", "fault_size:all", "specimen", "few_labels:5"):
        assert str(parse_protocol(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lode", "random_window, load"),
        ("load:3", "takes no argument"),
        ("fault_size:", "needs something"),
        ("load@loud", "not a signal-to-noise"),
        ("few_labels", "percentage"),
        ("few_labels:0", "percentage"),
        ("few_labels:200", "percentage"),
    ],
)
def test_wrong_protocols_are_explained(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_protocol(text)


def test_every_protocol_has_a_description():
    assert set(PROTOCOLS) == {
        "random_window",
        "load",
        "fault_size",
        "speed",
        "cross_dataset",
        "few_labels",
        "specimen",
    }


def test_sets_without_normals_split_by_load_and_size():
    damaged = [entry for entry in case_western() if entry.fault_location != "normal"]
    (by_load,) = make_splits(damaged, "load", seed=0)
    assert by_load.classes == TEN[1:]
    (by_size,) = make_splits(damaged, "fault_size:14", seed=0)
    assert by_size.classes == FOUR[1:]
    assert not by_size.leaks


def test_recordings_without_documented_specimens_may_leak_and_say_so():
    loose = [
        replace(entry, specimens_documented=False, group_id=entry.recording_id) for entry in case_western()
    ]
    (split,) = make_splits(loose, "load", seed=0)
    assert split.leaks
    assert "specimens are not documented" in split.leak_reason
    with pytest.raises(DataError, match="Give the specimen of each recording"):
        make_splits(loose, "specimen", seed=0)
    # another size is another specimen, documented or not
    (by_size,) = make_splits(loose, "fault_size:14", seed=0)
    assert not by_size.leaks
