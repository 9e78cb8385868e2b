"""The independence check in words and pictures."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from made_measured import estimate, gap, made, made_check
from secateur.report.figures.sia import ON_DARK, TITLES, inline, png_of, sia_figures, svg_of
from secateur.report.page import render
from secateur.report.sia import (
    _interval,
    open_definitions,
    prediction_text,
    sentence,
    sia_section,
    verdict_rows,
    write_sia,
)


@pytest.fixture(scope="module")
def check():
    return made_check(made())


@pytest.fixture(scope="module")
def figures(check):
    return sia_figures(check)


def test_every_picture_is_drawn_and_is_sound_as_svg_and_png(figures):
    assert list(figures) == list(TITLES)
    for name, figure in figures.items():
        assert ElementTree.fromstring(svg_of(figure, TITLES[name])).tag.endswith("svg")
        assert png_of(figure).startswith(b"\x89PNG")


def test_a_heat_map_for_each_component_with_its_cells(figures, check):
    panels = figures["interactions"].axes[:3]
    assert [axes.get_title() for axes in panels] == ["layers", "heads or KV groups", "channels"]
    cells = panels[1].collections[0].get_array()
    wanted = next(entry for entry in check["measured"]["interaction_maps"] if entry["component"] == "group")
    np.testing.assert_allclose(np.asarray(cells).reshape(4, 4), wanted["signed"])
    assert {text.get_text() for text in panels[1].texts} == {"0.30", "-0.15", "0.10", "-0.07"}


def test_curves_stand_where_the_figures_say(figures, check):
    axes = figures["removal"].axes[0]
    lines = {container.get_label(): container[0] for container in axes.containers}
    assert set(lines) == {
        "layers",
        "heads or KV groups",
        "channels",
        "single query heads, chosen apart",
        "rows of one matrix, chosen apart",
    }
    np.testing.assert_allclose(lines["channels"].get_xdata(orig=False), [0, 0.25, 0.5, 0.75, 0.9])
    np.testing.assert_allclose(lines["channels"].get_ydata(orig=False), [0.96, 0.955, 0.94, 0.8, 0.5])
    asked = next(line for line in axes.lines if list(line.get_ydata()) == [0, 1])
    assert asked.get_xdata()[0] == pytest.approx(check["verdict"]["share"])
    limit = figures["additivity"].axes[0].lines[-1]
    assert set(limit.get_ydata()) == {0.5}


def test_the_axis_of_rank_correlations_ends_at_one(figures):
    axes = figures["stability"].axes[0]
    low, high = axes.get_xlim()
    assert low <= 0.9
    assert high - 1.0 == pytest.approx(0.05 * (1.0 - low))
    assert max(axes.get_xticks()) <= 1.0 + 1e-9


def test_pictures_in_the_page_hold_their_own_data_and_follow_light_and_dark(figures):
    image = str(inline(figures["stability"], "a <title>"))
    assert 'alt="a &lt;title&gt;"' in image
    drawing = base64.b64decode(re.search(r"base64,([^\"]+)", image).group(1)).decode()
    style = drawing[drawing.index("<style") : drawing.index("</style>")]
    assert all(colour in style for pair in ON_DARK.items() for colour in pair)
    assert not any(f": {colour}" in drawing for colour in ON_DARK)


def test_the_same_check_gives_the_same_picture(check):
    one, other = (svg_of(sia_figures(check)["additivity"], "t") for _ in range(2))
    assert one == other


def test_what_was_not_measured_is_left_out():
    assert sia_figures(made_check()) == {}
    blank = replace(made(), additivity=(gap("channel", 0.2, estimate(float("nan"), 0.0)),), removal_loss=())
    assert set(sia_figures(made_check(blank))) == {"interactions", "stability"}


def test_rows_say_what_to_cut_and_what_it_costs(check):
    layers, heads, channels = verdict_rows(check)
    assert (layers.unit, layers.verdict, layers.criterion) == ("whole layer", "reliable", "exact removal")
    assert (heads.unit, heads.verdict) == ("KV group", "reliable with closed units")
    assert channels.unit == "gate, up and down of a channel"
    assert channels.figures[0] == "0.20 (0.15 to 0.25) holds"
    assert layers.figures[3] == "–"
    assert re.fullmatch(r"−\d+\.\d points of accuracy \(.*\)", channels.predicted)
    assert layers.predicted_apart == "–" != heads.predicted_apart


def test_predictions_in_words():
    def predicted(name, value, beyond=False):
        change = {"value": value, "low": value - 0.02, "high": value + 0.02}
        return {"score_name": name, "score_change": change, "beyond": beyond}

    assert prediction_text(predicted("accuracy", -0.05)) == "−5.0 points of accuracy (−7.0 to −3.0)"
    assert prediction_text(predicted("perplexity_ratio", 0.5, beyond=True)) == (
        "+0.50 of perplexity over dense or worse (+0.48 to +0.52)"
    )
    assert prediction_text(None) == "–"


def test_the_outcome_in_one_sentence():
    assert sentence(made_check(ratio=None)) == (
        "Cut closed units only. Whether importance can be trusted was not measured."
    )
    assert sentence(made_check(made())).startswith("Importance can be used; cut closed units only.")
    assert "takes 6" in sentence(made_check(ratio=2.5))
    assert "do not hold enough" in sentence(made_check(ratio=500.0))
    unequal = replace(made(), additivity=(gap("channel", 0.2, estimate(1.2, 0.1)),))
    assert "Costs of channels do not add up: cut in several steps" in sentence(made_check(unequal))
    assert not verdict_rows(made_check(unequal))[2].unreliable
    bad = replace(unequal, removal_loss=())
    assert sentence(made_check(bad)).startswith("Importance of channels is not to be trusted")
    assert verdict_rows(made_check(bad))[2].unreliable


def test_open_definitions_are_those_that_come_to_mind_first(check):
    assert [entry["component"] for entry in open_definitions(check)] == ["head", "matrix"]


def test_a_check_without_measurement_has_no_figures_in_its_section():
    section = sia_section(made_check())
    assert section["pictures"] == [] and section["measured"] is None
    assert "structure only" in section["rows"][0].verdict
    assert sia_section(None) is None


def test_the_section_stands_in_the_report_of_a_run(check):
    page = render({"sia": check, "criterion": "taylor"}, [], None, None)
    assert "Can it be cut by importance?" in page
    assert "scored by taylor" in page
    assert page.count("<img") == len(TITLES)
    assert not re.search(r"url\(|https?://", page)
    assert "Can it be cut" not in render({}, [], None, None)


def test_a_folder_holds_record_page_and_pictures(check, tmp_path):
    page = write_sia(check, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "sia.json",
        "sia.html",
        *(f"{name}.{kind}" for name in TITLES for kind in ("png", "svg")),
    }
    assert json.loads((tmp_path / "out" / "sia.json").read_text()) == check
    assert "a model, family llama" in page.read_text()


def test_an_interval_from_a_little_below_zero_has_no_sign_on_zero():
    told = _interval({"value": -0.001, "low": -0.004, "high": 0.3}, ".2f")
    assert told == "0.00 (0.00 to 0.30)"
