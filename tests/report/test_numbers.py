import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.report import numbers


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (numbers.percent, 0.98437, "98.4 %"),
        (numbers.count, 9474564, "9.47 M"),
        (numbers.count, 684580, "685 k"),
        (numbers.count, 999600, "1.00 M"),
        (numbers.count, 999, "999"),
        (numbers.count, 85_050_000, "85.0 M"),
        (numbers.size, 38291126, "38.3 MB"),
        (numbers.axis_count, 5e6, "5 M"),
        (numbers.axis_count, 2e5, "200 k"),
        (numbers.axis_percent, 0.95, "95 %"),
        (numbers.size, 12, "12 B"),
        (numbers.times, 13.84, "13.8×"),
        (numbers.duration, 3.21, "3.2 s"),
        (numbers.duration, 59.7, "1 min 0 s"),
        (numbers.duration, 200, "3 min 20 s"),
        (numbers.words, "inner_race", "inner race"),
        (numbers.decimal, -0.0004, "0.000"),
        (numbers.decimal, -0.4, "-0.400"),
        (numbers.percent, -0.0001, "0.0 %"),
        (numbers.axis_number, -0.0, "0"),
    ],
)
def test_known_values(write, value, text):
    assert write(value) == text


def test_differences_carry_their_sign():
    assert numbers.points(0.979, 0.984) == "−0.5 pt"
    assert numbers.points(0.99, 0.984) == "+0.6 pt"
    assert numbers.points(0.98401, 0.984) == "0.0 pt"


def test_missing_values_are_dashes():
    for write in (
        numbers.percent,
        numbers.count,
        numbers.size,
        numbers.times,
        numbers.decimal,
        numbers.duration,
    ):
        assert write(None) == "–"
    assert numbers.points(None, 0.5) == "–"


@given(st.sets(st.integers(0, 300), min_size=1))
def test_ranges_name_exactly_the_indices(indices):
    named = set()
    for part in numbers.ranges(indices).split(", "):
        first, _, last = part.partition("–")
        named |= set(range(int(first), int(last or first) + 1))
    assert named == indices
