"""One bar a recording: widths are the shares, names are text, and what is not drawn is said."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from secateur.report.figures.shares import MOST_ROWS, shares

SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_wide_as_their_shares():
    picture = shares([("a <b>", [0.25, 0.75]), ("dead", None)], ("normal", "inner_race"), title="t & u")
    root = ET.fromstring(picture)
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    first, second = (float(bar.get("width")) for bar in bars)
    assert second / first == pytest.approx(3, rel=1e-2)
    assert float(bars[1].get("x")) == pytest.approx(float(bars[0].get("x")) + first, abs=0.1)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert {"a <b>", "t & u", "no usable window", "inner race"} <= set(texts)


def test_thousands_of_recordings_stay_a_picture():
    rows = [(str(number), [1.0]) for number in range(MOST_ROWS + 5)]
    picture = shares(rows, ("normal",), title="all")
    assert picture.count("<title>") == MOST_ROWS
    assert f"all, the first {MOST_ROWS} of {MOST_ROWS + 5}" in picture
