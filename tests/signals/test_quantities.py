"""What the name of a column says, and above all what it does not say."""

from __future__ import annotations

import pytest

from secateur.signals.sources.quantities import are_same_unit, quantity_of, seconds_in, unit_of


@pytest.mark.parametrize(
    ("name", "quantity", "unit"),
    [
        ("acc_x [m/s^2]", "acceleration", "m/s^2"),
        ("acc_g", "acceleration", "g"),
        ("Beschleunigung (g)", "acceleration", "g"),
        ("vel [mm/s]", "velocity", "mm/s"),
        ("time_ms", "time", "ms"),
        ("t", "time", None),
        ("Time (s)", "time", "s"),
        ("elapsed_s", "time", "s"),
        ("Temperature", "temperature", None),
        ("temp_2_bearing_module", "temperature", None),
        ("ch3 [degC]", "temperature", "degC"),
        ("T [degC]", "temperature", "degC"),
        ("X105_DE_time [g]", "acceleration", "g"),
        ("motorCurrent", "current", None),
        ("phase_current_1", "current", None),
        ("shaft_rpm", "shaft speed", "rpm"),
        ("Drehzahl [1/min]", "shaft speed", "1/min"),
        ("N15_M07_F10_KA04_1.Y.torque", "torque", None),
        ("label", "label", None),
        ("frequency", "frequency", None),
        # names of sensors that hold such words or letters
        ("DE", None, None),
        ("bearing_a", None, None),
        ("channel_v", None, None),
        ("X105_DE_time", "time", None),
        ("high_speed_bearing", None, None),
        ("load_side", None, None),
        ("outer_fault", None, None),
        ("sample_position_3", None, None),
        ("current_side_acc", "acceleration", None),
        ("time_of_flight_x", "time", None),
        ("g", None, None),
        ("", None, None),
    ],
)
def test_names(name: str, quantity: str | None, unit: str | None) -> None:
    assert (quantity_of(name), unit_of(name)) == (quantity, unit)


def test_units_of_time() -> None:
    assert [seconds_in(unit) for unit in ("s", "MS", "us", "ns", "g", None)] == [
        1.0,
        1e-3,
        1e-6,
        1e-9,
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("m/s²", "m/s^2", True), ("m/s2", "M/S²", True), ("um", "µm", True), ("μm/s", "um/s", True),
        ("mils", "mil", True), ("g", "m/s²", False), ("g", "mg", False), ("mm/s", "mm/s2", False),
    ],
)  # fmt: skip
def test_spellings_of_one_unit(one: str, other: str, same: bool) -> None:
    assert are_same_unit(one, other) is same
