"""The picture of an envelope spectrum keeps every line and marks the bearing's rates where they are."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from secateur.report.figures.axes import BOTTOM, LEFT, RIGHT, TOP
from secateur.report.figures.envelope_spectrum import HEIGHT, WIDTH, envelope_spectrum
from secateur.report.figures.shares import shares
from secateur.report.figures.timeline import COLOURS
from secateur.signals.bearings.catalogue import known_bearing
from secateur.signals.evidence import gather_evidence

RATE_HZ, SHAFT_HZ = 12_000.0, 29.95
ORDERS = known_bearing("6205")


def evidence_for(orders):
    """What an outer race of a 6205 shows that knocks at exactly its rate, in noise."""
    rng = np.random.default_rng(0)
    samples = np.arange(60_000)
    since_knock = (samples / RATE_HZ) % (1 / (ORDERS.bpfo * SHAFT_HZ))
    waveform = np.exp(-900 * since_knock) * np.sin(2 * np.pi * 3000 * since_knock)
    waveform += 0.1 * rng.standard_normal(len(samples))
    return gather_evidence(waveform, sampling_rate_hz=RATE_HZ, shaft_rate_hz=SHAFT_HZ, fault_orders=orders)


@pytest.fixture(scope="module")
def evidence():
    return evidence_for(ORDERS)


def test_a_line_a_little_below_the_noise_has_no_sign(evidence):
    lines = tuple(replace(line, strength_db=-0.3) for line in evidence.lines)
    picture = envelope_spectrum(replace(evidence, lines=lines), title="pump")
    assert "outer race (BPFO) 0 dB" in picture
    assert "-0" not in re.sub("<style>.*?</style>", "", picture)


def test_marks_stand_at_the_rates_and_the_highest_point_is_kept(evidence):
    root = ET.fromstring(envelope_spectrum(evidence, title="a <pump> & its bearing"))
    assert root.get("aria-label") == "a <pump> & its bearing"
    marks = {
        mark[0].text: float(re.match(r"M([\d.]+)", mark.get("d"))[1])
        for mark in root.iter("{http://www.w3.org/2000/svg}path")
        if mark.get("stroke-dasharray")
    }
    highest_hz = evidence.frequency_hz[-1]
    for harmonic in (1, 2, 3, 4):
        rate = harmonic * ORDERS.bpfo * SHAFT_HZ
        place = LEFT + rate / highest_hz * (WIDTH - LEFT - RIGHT)
        assert marks[f"outer race (BPFO) × {harmonic}: {rate:.1f} Hz"] == pytest.approx(place, abs=0.06)

    (curve,) = (p for p in root.iter("{http://www.w3.org/2000/svg}path") if p.get("fill") == "none")
    points = np.array([pair.split() for pair in curve.get("d")[1:].split("L")], dtype=float)
    x, y = points[points[:, 1].argmin()]
    top = 1.05 * evidence.level_db.max()
    assert y == pytest.approx(
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * evidence.level_db.max() / top, abs=0.06
    )
    peak_hz = evidence.frequency_hz[evidence.level_db.argmax()]
    assert x == pytest.approx(LEFT + peak_hz / highest_hz * (WIDTH - LEFT - RIGHT), abs=0.06)


def test_a_race_has_the_colour_of_its_class_in_the_other_pictures(evidence):
    labels = ("normal", "inner_race", "outer_race", "ball")
    classes = shares([("a", (0.25,) * 4)], labels, title="")
    lines = envelope_spectrum(evidence, title="")
    for number, name in enumerate(("inner race", "outer race", "ball"), 1):
        colour = COLOURS[number]
        assert re.search(f'fill="{colour}"[^<]*/><text[^>]*>{name}<', classes)
        assert re.search(f'fill="{colour}"/><text[^>]*>{name} \\(', lines)


def test_lines_that_nothing_explains_are_marked_too(evidence):
    assert "unexplained" not in envelope_spectrum(evidence, title="")
    strange = evidence_for(known_bearing("6308"))
    picture = envelope_spectrum(strange, title="")
    rate = strange.stray.rate_hz
    assert rate == pytest.approx(ORDERS.bpfo * SHAFT_HZ, rel=0.005)
    assert all(f"unexplained × {harmonic}: {harmonic * rate:.1f} Hz" in picture for harmonic in (1, 2, 3, 4))
