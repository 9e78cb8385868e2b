"""What is said of a bearing, a speed or a rate is held against physics; sound statements pass."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.signals.kinematics import BearingGeometry, FaultOrders
from secateur.signals.plausibility import bearing_findings, rate_findings, size_findings, speed_findings


def codes(findings) -> list[tuple[str, str]]:
    return [(finding.severity, finding.code) for finding in findings]


def of_geometry(n_balls, ball_mm, pitch_mm, angle_deg=0.0):
    return BearingGeometry(
        designation="b",
        n_balls=n_balls,
        ball_diameter_mm=ball_mm,
        pitch_diameter_mm=pitch_mm,
        contact_angle_deg=angle_deg,
    ).orders


@given(
    n_balls=st.integers(5, 200),
    fill=st.floats(0.4, 0.95),
    angle_deg=st.floats(0.0, 45.0),
    pitch_mm=st.floats(5.0, 2000.0),
)
def test_every_bearing_that_can_be_built_passes(n_balls, fill, angle_deg, pitch_mm):
    ball_mm = fill * math.pi * pitch_mm / n_balls
    if ball_mm / pitch_mm < 0.5:
        assert codes(bearing_findings("b", of_geometry(n_balls, ball_mm, pitch_mm, angle_deg))) == []


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"bpfo": 3.585, "bpfi": 5.415}, []),
        ({"bpfo": 3.58, "bpfi": 5.42, "bsf2": 4.71, "ftf": 0.4}, []),
        ({"bpfo": 107.4, "bpfi": 162.2}, [("error", "orders_too_high")]),
        ({"bpfo": 6444.0, "bpfi": 9732.0}, [("error", "orders_too_high")]),
        ({"bpfo": 3.585, "bpfi": 4.947}, [("error", "element_count")]),
        ({"bpfo": 3.585, "bpfi": 5.55}, [("warning", "element_count")]),
        ({"bpfo": 3.585, "bpfi": 5.415, "bsf2": 2.357}, [("error", "spin_halved")]),
        ({"bpfo": 3.585, "bpfi": 5.415, "bsf2": 9.43}, [("error", "spin")]),
        ({"bpfo": 3.585, "bpfi": 5.415, "ftf": 1.4}, [("error", "cage_rate")]),
        ({"bpfo": 3.585, "bpfi": 5.415, "ftf": 0.6}, [("error", "cage_rate")]),
        ({"bpfo": 3.585, "bpfi": 5.415, "ftf": 0.38}, [("warning", "cage_rate")]),
        ({"bpfo": 4.4, "bpfi": 4.6}, [("error", "elements_too_small")]),
    ],
)
def test_multiples_that_contradict_each_other(given, found):
    assert codes(bearing_findings("b", FaultOrders.from_multipliers(**given))) == found


@pytest.mark.parametrize(
    ("geometry", "found"),
    [
        ((9, 0.3126, 39.04), [("error", "elements_too_small")]),
        ((9, 7.94, 39.04 * 25.4), [("error", "elements_too_small")]),
        ((90, 7.94, 39.04), [("error", "orders_too_high")]),
        ((9, 7.94, 39.04, 50.0), [("warning", "contact_angle")]),
        ((9, 7.94, 39.04, 70.0), [("error", "contact_angle")]),
        ((62, 25.0, 700.0), []),
    ],
)
def test_dimensions_of_no_bearing(geometry, found):
    assert codes(bearing_findings("b", of_geometry(*geometry))) == found


def test_every_message_names_the_mend():
    halved = FaultOrders.from_multipliers(bpfo=3.585, bpfi=5.415, bsf2=2.357)
    (finding,) = bearing_findings("pump 3", halved)
    assert finding.subject == "pump 3"
    assert "give 4.714" in finding.message


@pytest.mark.parametrize(
    ("rate_hz", "found"),
    [(12.0, "error"), (51.2, "error"), (500.0, "warning"), (1000.0, None), (12_000.0, None),
     (200_000.0, None), (800_000.0, "warning"), (12e6, "error")],
)  # fmt: skip
def test_sampling_rates(rate_hz, found):
    assert codes(rate_findings("r", rate_hz)) == ([(found, "sampling_rate")] if found else [])


@pytest.mark.parametrize(
    ("rpm", "duration_s", "found"),
    [
        (1797.0, 10.0, []),
        (None, 10.0, []),
        (29.95, 10.0, [("error", "speed")]),
        (29.95, 60.0, [("warning", "speed")]),
        (8.0, 3600.0, []),
        (8.0, None, [("warning", "speed")]),
        (60 * 1797.0, 10.0, [("error", "line_above_nyquist")]),
        (60_000.0, 10.0, [("warning", "speed")]),
    ],
)
def test_speeds(rpm, duration_s, found):
    orders = FaultOrders.from_multipliers(bpfo=3.585, bpfi=5.415)
    findings = speed_findings(
        "r", sampling_rate_hz=12_000.0, shaft_speed_rpm=rpm, fault_orders=orders, duration_s=duration_s
    )
    assert codes(findings) == found


@pytest.mark.parametrize(("duration_s", "needed"), [(10.0, 10), (60.0, 100)])
def test_turns_that_a_slow_shaft_needs(duration_s, needed):
    (finding,) = speed_findings("r", sampling_rate_hz=12_000.0, shaft_speed_rpm=29.9, duration_s=duration_s)
    assert f"holds {29.9 * duration_s / 60:.3g} turns" in finding.message
    assert f"need {needed} turns or more" in finding.message


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((0.007, 0.014), "if inches are meant, write 7 for 0.007"),
        ((0.178, 0.356), "if millimetres are meant, write 7.01 for 0.178"),
        ((533.0, 7.0), "if micrometres are meant, write 21 for 533"),
    ],
)
def test_sizes_in_another_unit_are_told(sizes, said):
    (finding,) = size_findings("rig", sizes)
    assert (finding.severity, finding.code) == ("warning", "fault_size")
    assert said in finding.message
    assert not list(size_findings("rig", (7.0, 14.0, 21.0, 28.0)))
