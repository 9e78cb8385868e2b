"""Bearings by name: every way of writing finds the one meant, and nothing is found that is not."""

from __future__ import annotations

import pytest

from secateur.core.errors import ConfigError
from secateur.signals.bearings import catalogue
from secateur.signals.bearings.catalogue import find_bearing, known_bearing, known_bearings
from secateur.signals.findings import refuse
from secateur.signals.plausibility import bearing_findings


@pytest.mark.parametrize(
    ("name", "designation"),
    [
        ("6205", "6205"),
        ("skf 6205-2RS jem", "6205"),
        ("6205-2RS", "6205"),
        ("SKF6205", "6205"),
        ("6205 2RS JEM", "6205"),
        ("6205-2RSH/C3", "6205"),
        ("6205-2RS JEM SKF (drive end)", "6205"),
        ("6205 deep groove", "6205"),
        ("deep groove ball bearing 6205ZZ", "6205"),
        ("Type 6205", "6205"),
        ("6205 drive end", "6205"),
        ("6203-2RS JEM SKF (fan end)", "6203"),
        ("6205 NTN equivalent (drive end)", "NTN-6205-equivalent"),
        ("NICE (8 elements)", "NICE-MFPT"),
        ("LDK UER204", "UER204"),
        ("ASAHI UCPH 20x pillow block (UC insert)", "UC204"),
        ("UCFL 206", "UC206"),
        ("ZA-2115", "ZA-2115"),
        ("Rexnord ZA 2115", "ZA-2115"),
        ("NSK 6804DD", "6804"),
        ("MB ER-16K", "ER-16K"),
        ("NU205", "NU205"),
        ("N205", "NU205"),
        ("NU 205 ECP", "NU205"),
        ("7205 BECBP", "7205B"),
        ("22216 CCK/W33", "22216"),
        ("61804-2RZ", "6804"),
        ("62002RS", "6200"),
        ("608-2Z", "608"),
        ("FAG 6308 C3", "6308"),
    ],
)
def test_ways_of_writing(name, designation):
    assert find_bearing(name).designation == designation


@pytest.mark.parametrize(
    "name", ["", "9999", "62055", "6205/6203", "6205 or 6203", "7205", "NU2205", "deep groove", "6206205"]
)
def test_what_is_not_there_is_quoted_with_the_nearest_and_the_mend(name):
    with pytest.raises(ConfigError, match=r"nearest in the catalogue: .*number of elements") as caught:
        find_bearing(name)
    assert f"'{name}'" in str(caught.value)


def test_the_nearest_names_are_near():
    with pytest.raises(ConfigError, match=r"nearest in the catalogue: [^.]*NU205"):
        find_bearing("NU2205")


def test_dimensions_in_the_name_are_read():
    inches = find_bearing("NICE (8 elements, ball 0.235 in, pitch 1.245 in)")
    assert inches.orders.bpfo == pytest.approx(known_bearing("NICE-MFPT").bpfo, rel=1e-5)
    angle = find_bearing("spindle, 9 balls of 7.94 mm, pitch diameter 39.04 mm, 15 degrees")
    assert angle.orders.bpfo == pytest.approx(4.5 * (1 - 7.94 / 39.04 * 0.9659258), rel=1e-6)


def test_a_count_that_contradicts_the_catalogue_is_refused():
    with pytest.raises(ConfigError, match="states 9 rolling elements, but NICE-MFPT in the catalogue has 8"):
        find_bearing("NICE (9 elements)")


def test_published_figures():
    # J. Lee and others, IMS: BPFO 236.4, BPFI 296.9, twice BSF 279.8, FTF 14.8 Hz at 2000 rpm
    ims = known_bearing("ZA-2115")
    hz = [order * 2000 / 60 for order in (ims.bpfo, ims.bpfi, ims.bsf2, ims.ftf)]
    assert hz == pytest.approx([236.4, 296.9, 279.8, 14.8], rel=2e-3)
    assert known_bearing("NTN-6205-equivalent").ftf == pytest.approx(3.68 / 9)
    assert (known_bearing("6310").bpfo, known_bearing("6310").bsf2) == (3.047, 3.962)
    # FEMTO-ST: 13 balls
    femto = known_bearing("NSK 6804DD")
    assert (femto.bpfo, femto.bpfi) == pytest.approx((5.61, 7.39), abs=0.01)


def test_the_catalogue_is_large_and_every_bearing_can_exist():
    bearings = known_bearings()
    assert len(bearings) >= 200
    assert sum(bearing.orders.tolerance <= 0.02 for bearing in bearings) >= 40
    for bearing in bearings:
        findings = refuse(bearing_findings(bearing.designation, bearing.orders))
        assert [finding.code for finding in findings] == ["estimated_bearing"] * bearing.estimated
        assert bearing.source


def test_estimates_are_marked_and_hold_what_is_published():
    assert not find_bearing("6205").estimated
    estimate = find_bearing("6008")
    assert "estimated within" in str(estimate)
    assert estimate.orders.tolerance > 0.05
    estimates = {names[0]: bearing.orders for names, bearing in catalogue.estimated_bearings()}
    published = [bearing for bearing in known_bearings() if bearing.designation in estimates]
    published = [bearing for bearing in published if not bearing.source.startswith("estimated")]
    assert len(published) > 25
    for bearing in published:
        guess = estimates[bearing.designation]
        allowed = guess.tolerance + 0.01
        assert guess.bpfo == pytest.approx(bearing.orders.bpfo, rel=allowed)
        assert guess.bpfi == pytest.approx(bearing.orders.bpfi, rel=allowed)
