"""When an answer is given, and when and why not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from abstaining import LABELS, THRESHOLDS, manifest
from secateur.edge.judgement import calibrated, evidence_of, judge
from secateur.edge.own_healthy import OwnHealthy
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.evidence import gather_evidence
from secateur.signals.kinematics import FaultOrders
from secateur.signals.no_machine import NO_LINE, NO_NOISE
from secateur.signals.recording import ArraySource
from secateur.signals.resample import resample

ORDERS = known_bearing("6205")
SIMULATED = THRESHOLDS.model_copy(update={"set_on": "held-out machines"})
RATE_HZ, SHAFT_HZ = 12_000.0, 29.5


def knocking(order, seconds=4.0, noise=0.05, slip=0.0):
    rng = np.random.default_rng(0)
    waveform = np.zeros(round(seconds * RATE_HZ))
    times_s = np.arange(0.0, seconds, 1.0 / (order * SHAFT_HZ))
    times_s += np.cumsum(slip / (order * SHAFT_HZ) * rng.standard_normal(len(times_s))) if slip else 0.0
    waveform[(times_s[times_s < seconds] * RATE_HZ).astype(int)] = 1.0
    ring_s = np.arange(240) / RATE_HZ
    ring = np.exp(-600.0 * ring_s) * np.sin(2 * np.pi * 3_000.0 * ring_s)
    return np.convolve(waveform, ring)[: len(waveform)] + noise * rng.standard_normal(len(waveform))


def evidence(order, slip=0.0):
    return gather_evidence(
        knocking(order, slip=slip), sampling_rate_hz=RATE_HZ, shaft_rate_hz=SHAFT_HZ, fault_orders=ORDERS
    )


@pytest.fixture(scope="module")
def inner():
    return evidence(ORDERS.bpfi)


def noise():
    waveform = np.random.default_rng(1).standard_normal(48_000)
    return gather_evidence(waveform, sampling_rate_hz=RATE_HZ, shaft_rate_hz=SHAFT_HZ, fault_orders=ORDERS)


@pytest.fixture(scope="module")
def silent():
    return noise()


def answered(probabilities, *, energy=3.0, found=None, record=THRESHOLDS, **others):
    return judge(np.array(probabilities), energy, manifest(record), evidence=found, **others)


def test_a_sure_answer_that_the_lines_support_is_given(inner):
    judgement = answered([0.05, 0.9, 0.03, 0.02], found=inner)
    assert judgement.answer == judgement.rule.label == "inner_race"
    assert judgement.reasons == ()
    assert judgement.confidence == pytest.approx(0.9)


def test_fault_lines_in_the_envelope_outweigh_a_spectrum_without_lines(inner):
    sure = [0.05, 0.9, 0.03, 0.02]
    assert answered(sure, found=inner, no_machine=NO_LINE).answer == "inner_race"
    # over no noise at all everything stands out
    assert answered(sure, found=inner, no_machine=NO_NOISE).answer is None
    assert answered([0.9, 0.05, 0.03, 0.02], found=inner, no_machine=NO_LINE).answer is None


@pytest.mark.parametrize(
    ("probabilities", "options", "reason"),
    [
        ([0.2, 0.6, 0.1, 0.1], {}, "not sure: inner race 60 %, needed 70 %"),
        ([0.0, 1.0, 0.0, 0.0], {"energy": 0.5}, "unlike any"),
        ([0.0, 1.0, 0.0, 0.0], {"doubts": ("the speed is doubtful",)}, "the speed is doubtful"),
        ([1.0, 0.0, 0.0, 0.0], {"no_machine": NO_LINE}, "noise alone"),
        ([1.0, 0.0, 0.0, 0.0], {"no_machine": NO_NOISE}, "nothing but lines"),
    ],
)
def test_it_says_why_it_cannot_say(probabilities, options, reason):
    judgement = answered(probabilities, **options)
    assert judgement.answer is None
    assert reason in judgement.reasons[0]


@pytest.mark.parametrize(
    ("label", "heard", "confidence"),
    [
        ("normal", lambda: noise(), 0.97),
        ("normal", lambda: replace(noise(), kurtosis=3.6), 0.9),
        ("normal", lambda: None, 0.9),
        ("ball", lambda: noise(), 0.9),
        ("ball", lambda: evidence(ORDERS.bsf2), 0.97),
    ],
)
def test_only_what_the_waveform_confirms_is_sure(label, heard, confidence):
    probabilities = [0.97 if name == label else 0.01 for name in LABELS]
    judgement = answered(probabilities, found=heard())
    assert judgement.answer == judgement.label == label
    assert judgement.confidence == pytest.approx(confidence)


def test_clear_lines_of_another_fault_stop_an_answer(inner):
    for sure in ([0.95, 0.0, 0.05, 0.0], [0.0, 0.0, 1.0, 0.0]):
        judgement = answered(sure, found=inner)
        assert judgement.answer is None
        assert any("the fault lines say inner race" in reason for reason in judgement.reasons)


def test_a_race_fault_without_any_line_is_not_believed(silent):
    assert answered([0.0, 0.0, 1.0, 0.0], found=silent).answer is None
    assert answered([1.0, 0.0, 0.0, 0.0], found=silent).answer == "normal"


@pytest.mark.parametrize(("blades", "label"), [(3, "outer_race"), (5, "inner_race")])
def test_the_blades_of_a_pump_beside_a_line_of_the_bearing_bear_out_no_fault(blades, label):
    time_s = np.arange(round(6 * RATE_HZ)) / RATE_HZ
    flow = np.random.default_rng(3).standard_normal(len(time_s))
    flow *= 1.0 + 0.5 * np.cos(2 * np.pi * blades * SHAFT_HZ * time_s)
    found = gather_evidence(
        flow, sampling_rate_hz=RATE_HZ, shaft_rate_hz=SHAFT_HZ, fault_orders=known_bearing("6203")
    )
    judgement = answered(SURE[label], found=found)
    assert judgement.answer is None
    assert "its lines do not stand out" in judgement.reasons[0]
    assert "1 of 4 harmonics" in judgement.reasons[0]


def test_a_cage_that_strikes_is_no_ball():
    found = evidence(ORDERS.ftf, slip=0.02)
    for probabilities in ([0.02, 0.02, 0.02, 0.94], SURE["normal"]):
        judgement = answered(probabilities, found=found)
        assert judgement.answer is None
        assert "strikes once in a turn of the cage" in judgement.reasons[0]
    assert answered([0.02, 0.02, 0.02, 0.94], found=evidence(ORDERS.bsf2)).answer == "ball"


def test_a_ball_needs_no_lines_but_a_race_does(silent, inner):
    torn = [0.05, 0.5, 0.05, 0.4]
    judgement = answered(torn, found=silent, record=SIMULATED)
    assert judgement.answer == judgement.label == "ball"
    assert judgement.confidence == pytest.approx(0.4 / 0.45)
    assert answered(torn, found=silent).answer is None, "a model that met recordings may know other signs"
    assert answered(torn, found=inner, record=SIMULATED).answer is None, "the race shows its lines"
    assert answered(torn, record=SIMULATED).answer is None, "without evidence nothing is out of the question"


@pytest.mark.parametrize("probabilities", [[0.05, 0.6, 0.1, 0.25], [0.2, 0.4, 0.05, 0.35]])
def test_a_ball_no_likelier_than_a_guess_or_than_a_healthy_bearing_stays_open(probabilities, silent):
    assert answered(probabilities, found=silent, record=SIMULATED).answer is None


def fast():
    """Noise of a spindle at 9,000 rpm, whose damaged races would be struck 900 and 1,350 times a second."""
    noise = np.random.default_rng(0).standard_normal(48_000)
    rates = {"sampling_rate_hz": RATE_HZ, "shaft_rate_hz": 150.0}
    return gather_evidence(noise, fault_orders=FaultOrders(bpfo=6.0, bpfi=9.0, bsf2=4.8, ftf=0.4), **rates)


def test_a_model_of_simulated_machines_says_nothing_of_shafts_that_it_cannot_follow():
    evidence = fast()
    for record, answer in ((SIMULATED, None), (THRESHOLDS, "normal"), (None, "normal")):
        described = manifest(record, hears_up_to_hz=750.0)
        judgement = judge(np.array(SURE["normal"]), 3.0, described, evidence=evidence)
        assert judgement.answer == answer
    slower = manifest(SIMULATED, hears_up_to_hz=1500.0)
    assert judge(np.array(SURE["inner_race"]), 3.0, slower, evidence=evidence).answer is None
    described = manifest(SIMULATED, hears_up_to_hz=750.0)
    judgement = judge(np.array(SURE["normal"]), 3.0, described, evidence=evidence)
    assert "struck 1350 times a second, and the model follows 750 at most" in judgement.reasons[0]


def test_lines_too_high_for_the_envelope_spectrum_speak_neither_for_a_fault_nor_against_one():
    evidence = fast()
    assert answered(SURE["inner_race"], found=evidence).answer == "inner_race"
    rule = answered(SURE["normal"], found=evidence).rule
    assert rule.label is None
    assert "BPFO lies at 900 Hz, too high for the envelope spectrum (938 Hz)" in rule.reason


def test_without_thresholds_every_answer_counts():
    assert answered([0.3, 0.25, 0.25, 0.2], energy=-9.0, record=None).answer == "normal"


def test_calibration_divides_logits():
    logits = np.array([[4.0, 0.0, 0.0, 0.0]])
    probabilities, energy = calibrated(logits, THRESHOLDS)
    assert probabilities[0, 0] == pytest.approx(np.exp(2) / (np.exp(2) + 3), rel=1e-5)
    assert energy[0] == pytest.approx(np.log(np.exp(2) + 3))
    plain, _ = calibrated(logits, None)
    assert plain[0, 0] > probabilities[0, 0]


@pytest.mark.parametrize("times", [1, 4, 16])
def test_a_fast_recording_shows_what_a_slow_one_does(times):
    slow = knocking(ORDERS.bpfi, seconds=6.0, noise=0.3)
    fast = resample(slow, RATE_HZ, times * RATE_HZ) if times > 1 else slow
    fast = fast + 0.1 * np.random.default_rng(1).standard_normal(len(fast))
    found, _ = evidence_of(
        ArraySource(fast.astype(np.float32)[None]),
        channel=0,
        sampling_rate_hz=times * RATE_HZ,
        shaft_rate_hz=SHAFT_HZ,
        fault_orders=ORDERS,
    )
    assert found.line("bpfi").harmonics == 4
    assert found.line("bpfi").strength_db > 15.0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"shaft_rate_hz": 0.0, "fault_orders": ORDERS}, "speed is not known"),
        ({"shaft_rate_hz": SHAFT_HZ, "fault_orders": None}, "bearing is not known"),
        ({"shaft_rate_hz": 0.5, "fault_orders": ORDERS}, "2.0 shaft turns"),
    ],
)
def test_missing_evidence_says_why(options, reason):
    source = ArraySource(knocking(ORDERS.bpfi).astype(np.float32)[None])
    found, missing = evidence_of(source, channel=0, sampling_rate_hz=RATE_HZ, **options)
    assert found is None
    assert reason in missing


def test_the_record_is_plain_json(inner):
    record = answered([0.0, 1.0, 0.0, 0.0], found=inner).to_record()
    assert record["answer"] == "inner_race"
    assert record["rule"]["label"] == "inner_race"
    assert set(record["evidence"]["lines"]) == {"bpfo", "bpfi", "bsf2", "ftf", "shaft"}


OWN = OwnHealthy(
    bundle="micro",
    version="0123456789ab",
    recordings=3,
    windows=60,
    most_damage=0.1,
    lowest_rms=0.9,
    highest_rms=1.1,
    lowest_shaft_hz=29.0,
    highest_shaft_hz=30.0,
    fault_orders=ORDERS,
)
SURE = {
    "normal": [0.97, 0.01, 0.01, 0.01],
    "inner_race": [0.02, 0.96, 0.01, 0.01],
    "outer_race": [0.02, 0.01, 0.96, 0.01],
}


@pytest.mark.parametrize("label", ["normal", "outer_race"])
def test_knocks_at_a_rate_that_nothing_explains_stop_an_answer(label):
    judgement = answered(SURE[label], found=evidence(4.4))
    assert judgement.answer is None
    assert any("something strikes" in reason or "do not stand out" in reason for reason in judgement.reasons)
    assert judgement.to_record()["evidence"]["stray_lines"]["harmonics"] == 4


def test_knocks_beside_the_lines_of_the_answer_do_not_stop_it(inner):
    both = gather_evidence(
        knocking(ORDERS.bpfi) + knocking(1.37 * ORDERS.bpfo),
        sampling_rate_hz=RATE_HZ,
        shaft_rate_hz=SHAFT_HZ,
        fault_orders=ORDERS,
    )
    assert both.stray is not None
    assert answered(SURE["inner_race"], found=both).answer == "inner_race"
    assert answered(SURE["normal"], found=both).answer is None


def test_a_machine_that_strikes_when_healthy_may_strike():
    """Its own healthy recordings have shown what is usual, and confirm it."""
    found = evidence(4.4)
    for own, answer, confidence in ((None, None, 0.9), (OWN, "normal", 0.97)):
        said = judge(
            np.array(SURE["normal"]),
            3.0,
            manifest(THRESHOLDS),
            evidence=found,
            own_healthy=own,
            rms=1.0,
            shaft_rate_hz=SHAFT_HZ,
        )
        assert (said.answer, said.confidence) == (answer, pytest.approx(confidence))


def test_unexplained_knocks_are_told_beside_other_reasons():
    """They are what a user can act on: a model that looks in the wrong place is seldom sure."""
    judgement = answered([0.5, 0.3, 0.1, 0.1], found=evidence(4.4))
    assert [reason.split(":")[0].split(" 1")[0] for reason in judgement.reasons] == [
        "the model is not sure",
        "something strikes",
    ]
