"""Fault orders against published figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.core.errors import DataError
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.kinematics import BearingGeometry, FaultOrders

INCH_MM = 25.4
# Published by the Bearing Data Center of Case Western Reserve University: BPFI, BPFO, FTF, 2 x BSF.
PUBLISHED = {
    "6205": (5.4152, 3.5848, 0.39828, 4.7135),
    "6203": (4.9469, 3.0530, 0.3817, 3.9874),
}


@pytest.mark.parametrize(
    ("name", "n_balls", "ball_inch", "pitch_inch"),
    [("6205", 9, 0.3126, 1.537), ("6203", 8, 0.2656, 1.122)],
)
def test_geometry_gives_published_orders(name, n_balls, ball_inch, pitch_inch):
    orders = BearingGeometry(
        designation=name,
        n_balls=n_balls,
        ball_diameter_mm=ball_inch * INCH_MM,
        pitch_diameter_mm=pitch_inch * INCH_MM,
    ).orders
    found = (orders.bpfi, orders.bpfo, orders.ftf, orders.bsf2)
    assert found == pytest.approx(PUBLISHED[name], rel=2e-4)
    catalogue = known_bearing(name)
    assert (catalogue.bpfi, catalogue.bpfo, catalogue.ftf, catalogue.bsf2) == pytest.approx(found, rel=1e-5)


@given(
    n_balls=st.integers(4, 40),
    ratio=st.floats(0.05, 0.4),
    angle=st.floats(0.0, 45.0),
    pitch=st.floats(10.0, 1000.0),
)
def test_identities_of_rolling(n_balls, ratio, angle, pitch):
    orders = BearingGeometry(
        designation="any",
        n_balls=n_balls,
        ball_diameter_mm=ratio * pitch,
        pitch_diameter_mm=pitch,
        contact_angle_deg=angle,
    ).orders
    assert orders.bpfo + orders.bpfi == pytest.approx(n_balls)
    assert orders.ftf == pytest.approx(orders.bpfo / n_balls)
    assert orders.ftf < 0.5


@given(n_balls=st.integers(4, 40), ratio=st.floats(0.05, 0.4))
def test_multipliers_give_back_what_geometry_gives(n_balls, ratio):
    geometry = BearingGeometry(
        designation="any", n_balls=n_balls, ball_diameter_mm=ratio * 50.0, pitch_diameter_mm=50.0
    )
    orders = geometry.orders
    again = FaultOrders.from_multipliers(bpfo=orders.bpfo, bpfi=orders.bpfi)
    assert np.allclose(again.as_array(), orders.as_array(), rtol=1e-5)


def test_order_of_the_array():
    orders = FaultOrders(bpfo=3.0, bpfi=5.0, bsf2=4.0, ftf=0.4)
    assert orders.as_array().dtype == np.float32
    assert orders.as_array().tolist() == pytest.approx([3.0, 5.0, 4.0, 0.4])


@pytest.mark.parametrize(
    "values", [(5.0, 3.0, 4.0, 0.4), (3.0, 5.0, -4.0, 0.4), (float("nan"), 5.0, 4.0, 0.4)]
)
def test_impossible_orders_are_refused(values):
    with pytest.raises(DataError, match="bpfo"):
        FaultOrders(bpfo=values[0], bpfi=values[1], bsf2=values[2], ftf=values[3])


def test_balls_larger_than_the_pitch_are_refused():
    with pytest.raises(DataError, match="pitch diameter"):
        BearingGeometry(designation="odd", n_balls=8, ball_diameter_mm=50.0, pitch_diameter_mm=40.0)
    with pytest.raises(DataError, match="bpfo"):
        FaultOrders.from_multipliers(bpfo=5.0, bpfi=4.0)
