"""CSV for spreadsheets: what people and messages write never becomes a formula."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.edge.agent.state.spreadsheet import csv_line

FORMULAS = (
    "=1+1",
    "+1",
    "-1+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    '"=1',
    "'=1",
    "＝1",
)


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text: str) -> None:
    ((found,),) = csv.reader(io.StringIO(csv_line([text]), newline=""))
    assert found == f"'{text}"


@given(st.lists(st.text() | st.integers() | st.none(), min_size=1, max_size=4))
def test_a_line_is_read_back_as_it_was(values: list[object]) -> None:
    (found,) = csv.reader(io.StringIO(csv_line(values), newline=""))
    for value, text in zip(values, found, strict=True):
        assert text in ("" if value is None else str(value), f"'{value}")


def test_numbers_stay_numbers_and_every_text_stands_in_quotes() -> None:
    assert csv_line([-1.5, "a;=b", None, True]) == '-1.5,"a;=b","","True"\r\n'
