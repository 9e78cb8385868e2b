"""The simulated rig shows the lines of its faults, and leak-free splits exist on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from secateur.core.errors import ConfigError
from secateur.signals.envelope import envelope_spectrum, fault_line_levels
from secateur.signals.simulator import simulated_recordings
from secateur.signals.simulator.parameters import DEFAULT_RIGS, SLEWING_RIG, DefectPhysics, Measurement
from secateur.signals.simulator.physics import knock_times, load_at, ring, tones
from secateur.signals.splits import make_splits

CLEAR = 2.0  # natural logarithm of line over local median, whole recordings
ABSENT = 1.5


@pytest.fixture(scope="module")
def collection():
    return simulated_recordings(0)


def levels(recording):
    frequency_hz, amplitude = envelope_spectrum(
        recording.read()[0], recording.sampling_rate_hz, (500.0, 5_000.0)
    )
    orders, shaft = recording.fault_orders, recording.shaft_rate_hz
    rates = {
        "bpfo": orders.bpfo,
        "bpfi": orders.bpfi,
        "bsf2": orders.bsf2,
        "ftf": orders.ftf,
        "shaft": 1.0,
        "bpfi - shaft": orders.bpfi - 1.0,
        "bpfi + shaft": orders.bpfi + 1.0,
        "bsf2 - cage": orders.bsf2 - orders.ftf,
        "bsf2 + cage": orders.bsf2 + orders.ftf,
    }
    found = fault_line_levels(
        amplitude[None],
        frequency_hz[1],
        shaft * np.array([list(rates.values())]),
        surroundings_hz=5.0,
        tolerance=0.005,
    )
    return dict(zip(rates, found[0], strict=True))


EXPECTED = {
    "outer_race": {"bpfo"},
    "inner_race": {"bpfi", "bpfi - shaft", "bpfi + shaft", "shaft"},
    "ball": {"bsf2", "bsf2 - cage", "bsf2 + cage", "ftf"},
    "normal": set(),
}


@pytest.mark.parametrize("location", EXPECTED)
def test_envelope_spectra_show_the_lines_they_should(collection, location):
    of_location = [entry for entry in collection if entry.fault_location == location and entry.load == 1.0]
    assert len(of_location) >= 6
    for recording in of_location:
        found = levels(recording)
        for line in EXPECTED[location]:
            assert found[line] > CLEAR, (recording.recording_id, line, found)
        if location == "normal":
            del found["shaft"]  # a gear mesh may be modulated at shaft rate
            assert max(found.values()) < ABSENT, (recording.recording_id, found)


def test_the_strongest_family_is_that_of_the_fault(collection):
    family = {"outer_race": "bpfo", "inner_race": "bpfi", "ball": "bsf2"}
    right = [
        max(family.values(), key=levels(entry).__getitem__) == family[entry.fault_location]
        for entry in collection
        if entry.fault_location != "normal" and entry.load == 0.0
    ]
    assert np.mean(right) > 0.9


def test_what_is_known_of_each_recording(collection):
    assert len(collection) == 3 * (9 + 4) * 4
    assert len({entry.recording_id for entry in collection}) == len(collection)
    first = collection[0]
    assert (first.sampling_rate_hz, first.duration_s) == (12_000.0, 10.0)
    for entry in collection:
        assert entry.dataset == "simulated"
        assert entry.shaft_speed_rpm == pytest.approx(entry.nominal_speed_rpm, rel=0.01)
        assert (entry.fault_size_mil is None) == (entry.fault_location == "normal")
    groups = {entry.group_id for entry in collection if entry.fault_location == "normal"}
    assert len(groups) == 12


def test_level_does_not_give_the_class_away(collection):
    rms = {}
    for entry in collection:
        rms.setdefault(entry.fault_location, []).append(np.log(entry.read()[0].std()))
    spread = np.mean([np.std(values) for values in rms.values()])
    between = np.std([np.mean(values) for values in rms.values()])
    assert between < spread


@pytest.mark.parametrize("protocol", ["fault_size:7", "fault_size:14", "fault_size:21", "specimen"])
def test_leak_free_splits_exist(collection, protocol):
    (split,) = make_splits(collection, protocol, seed=0)
    groups = split.groups()
    assert not split.leaks
    assert split.caveat == ""
    assert not set(groups["train"]) & set(groups["test"])
    assert {segment.label for segment in split.test} == {0, 1, 2, 3}


def test_load_split_has_ten_classes_and_leaks(collection):
    (split,) = make_splits(collection, "load", seed=0)
    assert len(split.classes) == 10
    assert split.leaks


def small(seed, **kwargs):
    return simulated_recordings(
        seed, rigs=kwargs.pop("rigs", DEFAULT_RIGS[:1]), measurement=Measurement(duration_s=0.5), **kwargs
    )


def test_the_seed_decides_and_nothing_else():
    first, again, other = small(1), small(1), small(2)
    assert all(np.array_equal(a.read(), b.read()) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].read(), other[0].read())
    alone = {entry.recording_id: entry for entry in small(1, rigs=DEFAULT_RIGS[1:2])}
    among = {entry.recording_id: entry for entry in small(1, rigs=DEFAULT_RIGS)}
    assert all(np.array_equal(entry.read(), among[name].read()) for name, entry in alone.items())


def test_slewing_ring_knocks_at_its_slow_rate():
    recordings = simulated_recordings(
        0,
        rigs=[replace(SLEWING_RIG, speeds_rpm=(8.0,))],
        physics=DefectPhysics(sizes_mil=(21.0,), snr_db=(6.0,)),
        measurement=Measurement(duration_s=40.0, normal_specimens=1),
    )
    (outer,) = (entry for entry in recordings if entry.fault_location == "outer_race")
    frequency_hz, amplitude = envelope_spectrum(outer.read()[0], 12_000.0, (300.0, 3_000.0))
    slow = (frequency_hz > 1.0) & (frequency_hz < 6.0)
    found_hz = frequency_hz[slow][amplitude[slow].argmax()]
    assert found_hz == pytest.approx(outer.fault_orders.bpfo * 8.0 / 60.0, rel=0.02)


def test_ring_has_the_decay_of_its_damping():
    mode = DEFAULT_RIGS[0].modes[1]
    response = ring((mode,), 100_000.0)
    period = 100_000.0 / mode.frequency_hz
    early = np.abs(response[: int(period)]).max()
    late = np.abs(response[int(10 * period) : int(11 * period)]).max()
    assert late / early == pytest.approx(np.exp(-2 * np.pi * mode.damping_ratio * 10), rel=0.1)


def test_knocks_slip_but_keep_their_rate():
    times = knock_times(100.0, 100.0, 0.02, np.random.default_rng(0))
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(0.01, rel=2e-3)
    assert gaps.std() == pytest.approx(2e-4, rel=0.05)
    assert times.max() < 100.0


def test_load_zone():
    physics = DefectPhysics()
    assert load_at(np.array([0.0]), physics)[0] == pytest.approx(1.0)
    assert load_at(np.array([np.pi]), physics)[0] == pytest.approx(physics.unloaded_floor)
    angle = np.linspace(-np.pi, np.pi, 101)
    assert np.allclose(load_at(angle, physics), load_at(-angle, physics))


def test_gear_mesh_has_sidebands_at_shaft_rate():
    gear = DEFAULT_RIGS[1].gear
    n_samples = 12_000
    spectrum = np.abs(
        np.fft.rfft(tones(20.0, (0.3,), gear, n_samples, 12_000.0, np.random.default_rng(0)))
    ) / (n_samples / 2)
    mesh = 20 * gear.teeth
    assert spectrum[20] == pytest.approx(0.3, rel=1e-3)
    assert spectrum[mesh] == pytest.approx(gear.amplitude, rel=1e-3)
    assert spectrum[mesh + 20] == pytest.approx(gear.amplitude * gear.modulation / 2, rel=1e-2)


def test_wrong_parameters_are_named():
    with pytest.raises(ConfigError, match="ratios; give one"):
        simulated_recordings(0, physics=DefectPhysics(snr_db=(0.0,)))
    with pytest.raises(ConfigError, match="rig motor"):
        simulated_recordings(0, measurement=Measurement(sampling_rate_hz=4_000.0))
