"""Evidence of faults that were put into the waveform, and of machines that have none."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.core.errors import DataError
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.envelope_rule import (
    FAULT_DB,
    EnvelopeRule,
    envelope_rule,
    fault_log_odds,
    knows,
)
from secateur.signals.evidence import gather_evidence, line_strengths
from secateur.signals.lines import FAMILIES

RATE_HZ = 12_000.0
SHAFT_HZ = 29.5
CLASSES = ("normal", "inner_race", "outer_race", "ball")
ORDERS = known_bearing("6205")
WEAKER = (0.5, 7.0, 8.0, 9.0, 10.0, 40.0)


def knocking(order, *, seconds=6.0, noise=0.5, modulation=0.0, bearing_hz=SHAFT_HZ, seed=0):
    """A resonance struck at a multiple of the shaft rate, under noise."""
    rng = np.random.default_rng(seed)
    waveform = np.zeros(round(seconds * RATE_HZ))
    times = np.arange(0.0, seconds, 1.0 / (order * bearing_hz))
    places = (times * RATE_HZ).astype(int)
    waveform[places] = 1.0 + modulation * np.cos(2 * np.pi * bearing_hz * times)
    ring_s = np.arange(240) / RATE_HZ
    ring = np.exp(-600.0 * ring_s) * np.sin(2 * np.pi * 3_000.0 * ring_s)
    return np.convolve(waveform, ring)[: len(waveform)] + noise * 0.1 * rng.standard_normal(len(waveform))


def evidence_of(waveform, orders=ORDERS, shaft_hz=SHAFT_HZ, rate_hz=RATE_HZ):
    return gather_evidence(waveform, sampling_rate_hz=rate_hz, shaft_rate_hz=shaft_hz, fault_orders=orders)


@pytest.mark.parametrize(
    ("family", "label"), [("bpfo", "outer_race"), ("bpfi", "inner_race"), ("bsf2", "ball")]
)
def test_the_rule_names_the_fault_that_was_put_in(family, label):
    evidence = evidence_of(knocking(getattr(ORDERS, family)))
    line = evidence.line(family)
    assert line.rate_hz == pytest.approx(getattr(ORDERS, family) * SHAFT_HZ, rel=1e-6)
    assert line.harmonics == 4
    assert line.strength_db == max(found.strength_db for found in evidence.lines)
    assert envelope_rule(evidence).label == label


@pytest.mark.parametrize("seed", range(5))
def test_noise_shows_no_line(seed):
    noise = np.random.default_rng(seed).standard_normal(60_000)
    evidence = evidence_of(noise)
    assert max(evidence.line(family).strength_db for family in FAMILIES) < 5.0
    assert envelope_rule(evidence).label == "normal"


def test_sidebands_are_counted():
    plain = evidence_of(knocking(ORDERS.bpfi))
    modulated = evidence_of(knocking(ORDERS.bpfi, modulation=0.8))
    assert plain.line("bpfi").sidebands == 0
    assert modulated.line("bpfi").sidebands >= 4


def test_multiples_of_the_shaft_rate_are_no_fault():
    """A comb of the shaft passes 4.95 and 3.05 within the tolerance."""
    insert = known_bearing("UC204")
    evidence = evidence_of(knocking(1.0), insert)
    assert evidence.line("shaft").strength_db > 10.0
    assert evidence.line("bsf2").beside_shaft
    assert envelope_rule(evidence).label == "normal"


def test_a_line_beside_a_shaft_multiple_still_speaks():
    insert = known_bearing("UC204")
    assert envelope_rule(evidence_of(knocking(insert.bpfi), insert)).label == "inner_race"


def test_a_weak_line_is_left_open():
    calls = [envelope_rule(evidence_of(knocking(ORDERS.bpfo, noise=n))).label for n in WEAKER]
    assert calls[0] == "outer_race"
    assert None in calls
    assert calls[-1] == "normal"


def test_neither_level_nor_offset_matters():
    waveform = knocking(ORDERS.bpfo)
    first, second = evidence_of(waveform), evidence_of(250.0 * waveform + 1e3)
    assert second.line("bpfo").strength_db == pytest.approx(first.line("bpfo").strength_db, abs=0.1)


def test_windows_are_judged_as_the_waveform_is():
    waveform = knocking(ORDERS.bpfi, seconds=3.0)
    windows = waveform[: 4 * 8192].reshape(4, 8192)
    orders = np.tile(ORDERS.as_array(), (4, 1))
    strength, _ = line_strengths(windows, RATE_HZ, np.array([SHAFT_HZ, SHAFT_HZ, 0.0, SHAFT_HZ]), orders)
    assert strength.shape == (4, len(FAMILIES))
    assert (strength[[0, 1, 3]].argmax(axis=1) == FAMILIES.index("bpfi")).all()
    assert np.isnan(strength[2]).all()


def test_the_classifier_names_faults_noise_and_windows_of_unknown_speed():
    inner = knocking(ORDERS.bpfi, seconds=1.0)[:8192]
    noise = np.random.default_rng(0).standard_normal(8192)
    rule = EnvelopeRule(classes=CLASSES, sampling_rate_hz=RATE_HZ)
    logits = rule.window_logits(
        {
            "waveform": np.stack([inner, noise, inner]),
            "shaft_rate_hz": np.array([SHAFT_HZ, SHAFT_HZ, 0.0]),
            "fault_orders": np.tile(ORDERS.as_array(), (3, 1)),
        }
    )
    assert [CLASSES[k] for k in logits.argmax(axis=1)] == ["inner_race", "normal", "normal"]


def test_log_odds_rise_by_one_in_four_decibels_and_leave_out_a_ball_beside_the_shaft():
    strength = np.full((3, len(FAMILIES)), -40.0)
    strength[0, FAMILIES.index("bpfi")] = FAULT_DB + 8.0
    strength[1:, FAMILIES.index("bsf2")] = FAULT_DB + 4.0
    beside = np.zeros(strength.shape, dtype=bool)
    beside[2, FAMILIES.index("bsf2")] = True
    classes = ("normal", "inner_race", "ball", "looseness")
    odds = fault_log_odds(strength, beside, classes, FAULT_DB)
    np.testing.assert_allclose(odds[0], [0.0, 2.0, -10.0, -10.0])
    np.testing.assert_allclose(odds[1], [0.0, -10.0, 1.0, -10.0])
    np.testing.assert_allclose(odds[2], [0.0, -10.0, -10.0, -10.0])
    assert strength[2, FAMILIES.index("bsf2")] == FAULT_DB + 4.0  # what was given is left as it is


def test_the_rule_knows_only_places_of_faults():
    assert knows(("normal", "inner_race"))
    assert not knows(("inner_race", "outer_race"))
    assert not knows(("normal", "ir007"))


@pytest.mark.parametrize(
    ("waveform", "shaft_hz", "message"),
    [
        (np.ones(20_000), SHAFT_HZ, "flat"),
        (np.full(20_000, np.nan), SHAFT_HZ, "20000 of 20000 samples are NaN"),
        (np.zeros((2, 20_000)), SHAFT_HZ, "one channel"),
        (np.random.default_rng(0).standard_normal(2_000), SHAFT_HZ, "4.9 shaft turns"),
        (np.random.default_rng(0).standard_normal(20_000), 0.0, "must be positive"),
    ],
)
def test_what_cannot_be_judged_is_refused(waveform, shaft_hz, message):
    with pytest.raises(DataError, match=message):
        evidence_of(waveform, shaft_hz=shaft_hz)


def test_the_record_is_plain_json():
    record = evidence_of(knocking(ORDERS.bpfo)).to_record()
    assert set(record["lines"]) == set(FAMILIES)
    assert record["lines"]["bpfo"]["harmonics"] == 4


@pytest.mark.parametrize(
    ("told_hz", "told"),
    [
        (1.1 * SHAFT_HZ, ORDERS),
        (0.92 * SHAFT_HZ, ORDERS),
        (SHAFT_HZ, known_bearing("6308")),
    ],
)
@pytest.mark.parametrize("family", ["bpfo", "bpfi"])
def test_knocks_that_nothing_stated_explains_are_told(family, told_hz, told):
    rate_hz = getattr(ORDERS, family) * SHAFT_HZ
    stray = evidence_of(knocking(getattr(ORDERS, family)), told, told_hz).stray
    assert stray is not None
    assert stray.rate_hz == pytest.approx(rate_hz, rel=0.006)
    assert stray.order == pytest.approx(rate_hz / told_hz, rel=0.006)
    assert stray.harmonics == 4
    assert stray.to_record()["rate_hz"] == pytest.approx(stray.rate_hz, abs=0.06)


@pytest.mark.parametrize("order", [1.0, 1.5, 2.0, 2.5, 4 / 3, 3.0, "bpfo", "bpfi", "bsf2"])
def test_knocks_of_shaft_and_bearing_are_no_strays(order):
    assert evidence_of(knocking(order if isinstance(order, float) else getattr(ORDERS, order))).stray is None


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_mains_are_no_strays(mains_hz):
    assert evidence_of(knocking(2 * mains_hz / SHAFT_HZ)).stray is None


@pytest.mark.parametrize("seconds", [0.5, 2.0, 10.0])
def test_noise_shows_no_stray_lines(seconds):
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))
        assert evidence_of(noise).stray is None


def test_stray_lines_are_sought_in_what_a_short_waveform_has():
    """Nine turns leave few points between lines; what cannot be told apart is not told."""
    found = evidence_of(knocking(2.7)[: round(9 * RATE_HZ / SHAFT_HZ)])
    assert found.stray is None or found.stray.order == pytest.approx(2.7, rel=0.02)
