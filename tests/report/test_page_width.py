"""The report in a real browser: nothing runs off the page."""

from __future__ import annotations

import json

import pytest

from chromium import Chromium
from made_measured import made, made_check
from secateur.report.page import write_report


@pytest.fixture
def browser(tmp_path_factory):
    browser = Chromium(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


FIGURES = {
    "parameters": 2e6,
    "loss": 6.8,
    "kl": 0.1,
    "perplexity": 919.6,
    "agreement": 0.4,
    "similarity": None,
}
STANDING = {"figures": FIGURES, "over_dense": [0.905, 0.898, 0.913], "elsewhere": [0.931, 0.924, 0.939]}


def test_no_table_runs_off_a_page_of_1200_pixels(browser, run_folder, result):
    standings = dict.fromkeys(("dense", "cut", "dense, trained alike"), STANDING)
    made_up = {"sia": made_check(made()), "standings": standings}
    (run_folder / "result.json").write_text(json.dumps(result | made_up))
    browser.resize(1200, 900)
    browser.open(write_report(run_folder).as_uri())
    browser.wait_for("document.querySelectorAll('.scroll').length > 5")
    wide = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth)"
    assert browser.run(f"{wide}.map((box) => box.innerText.slice(0, 80))") == []
    assert browser.run("document.documentElement.scrollWidth") <= 1200
