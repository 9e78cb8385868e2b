"""The hour of an outer-race defect, however it is written."""

from __future__ import annotations

import pytest

from secateur.signals.positions import clock_position


@pytest.mark.parametrize("text", ["6:00", "06:00", "@6", "6 o'clock", "6h", " 6 ", "at 6:00"])
def test_ways_of_writing(text):
    assert clock_position("r", text) == ("6:00", ())


def test_what_is_no_hour_is_quoted():
    position, (finding,) = clock_position("r", "load side")
    assert position == "load side"
    assert (finding.severity, finding.subject) == ("warning", "r")
    assert "'load side' is not an hour on a clock face; write 6:00" in finding.message
    assert clock_position("r", "25:00")[1]
    assert clock_position("r", None) == (None, ())
