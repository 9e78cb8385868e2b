"""A bearing from a name, a geometry or fault orders on the command line."""

from __future__ import annotations

import pytest

from secateur.core.errors import ConfigError, DataError
from secateur.signals.bearings.given import given_bearing, parse_orders

CWRU_ORDERS = (3.5848, 5.4152, 4.7135, 0.39828)


def orders_of(bearing) -> tuple[float, ...]:
    return (bearing.orders.bpfo, bearing.orders.bpfi, bearing.orders.bsf2, bearing.orders.ftf)


def test_geometry_gives_the_orders_that_are_published():
    found = given_bearing(n_balls=9, ball_diameter_mm=7.94004, pitch_diameter_mm=39.0398)
    assert orders_of(found) == pytest.approx(CWRU_ORDERS, rel=2e-4)
    assert found.designation == "9 balls of 7.94004 mm on a pitch of 39.0398 mm"
    assert not found.estimated


def test_contact_angle_counts():
    # Rexnord ZA-2115: 16 rollers of 0.331 in on 2.815 in at 15.17 degrees; BPFO 236.4 Hz at 2000 rpm
    found = given_bearing(
        n_balls=16, ball_diameter_mm=8.4074, pitch_diameter_mm=71.501, contact_angle_deg=15.17
    )
    assert found.orders.bpfo * 2000 / 60 == pytest.approx(236.4, abs=0.1)
    assert found.orders.bpfi * 2000 / 60 == pytest.approx(296.9, abs=0.1)


@pytest.mark.parametrize(
    "text", ["3.5848,5.4152", " 3.5848 , 5.4152 ,4.7135, 0.39828", "BPFI=5.4152, bpfo=3.5848"]
)
def test_orders_are_read_with_and_without_names(text):
    assert orders_of(given_bearing(orders=text)) == pytest.approx(CWRU_ORDERS, rel=2e-3)


@pytest.mark.parametrize(
    "text", ["", "3.5", "3.5;5.4", "3.5,5.4,4.7,0.4,1", "bpfo=3.5,bpfo=5.4", "bsf=2.3,bpfi=5.4", "3.5,x"]
)
def test_orders_that_are_not_understood_are_quoted(text):
    with pytest.raises(ConfigError, match=r"--orders 3\.585,5\.415"):
        parse_orders(text)


def test_one_way_at_a_time_and_whole():
    assert given_bearing() is None
    with pytest.raises(ConfigError, match="by --bearing and by --balls"):
        given_bearing(name="6205", n_balls=9)
    with pytest.raises(ConfigError, match="--balls, --ball-mm without --pitch-mm"):
        given_bearing(n_balls=9, ball_diameter_mm=7.94)
    with pytest.raises(ConfigError, match="--angle without --balls, --ball-mm, --pitch-mm"):
        given_bearing(contact_angle_deg=15.0)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"n_balls": 9, "ball_diameter_mm": 0.3126, "pitch_diameter_mm": 39.04}, "in inches"),
        ({"n_balls": 9, "ball_diameter_mm": 39.04, "pitch_diameter_mm": 7.94}, "smaller than the pitch"),
        ({"n_balls": 40, "ball_diameter_mm": 7.94, "pitch_diameter_mm": 39.04}, "do not fit"),
        ({"n_balls": -9, "ball_diameter_mm": 7.94, "pitch_diameter_mm": 39.04}, "at least 2 balls"),
        ({"n_balls": 9, "ball_diameter_mm": float("nan"), "pitch_diameter_mm": 39.04}, "nan mm"),
        ({"n_balls": 9, "ball_diameter_mm": 7.94, "pitch_diameter_mm": float("inf")}, "inf mm"),
        ({"orders": "107.4,162.2"}, "divide by the shaft rate"),
        ({"orders": "3.585,5.415,2.357,0.398"}, "half of what the races tell"),
        ({"orders": "3.585,5.415,4.714,1.4"}, "less than half a turn"),
        ({"orders": "3.585,4.947"}, "= 8.532"),
    ],
)
def test_bearings_that_cannot_exist_are_refused(given, told):
    with pytest.raises(DataError, match=told):
        given_bearing(**given)
