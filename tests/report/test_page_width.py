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


def test_no_table_runs_off_a_page_of_1200_pixels(browser, run_folder, result):
    (run_folder / "result.json").write_text(json.dumps(result | {"sia": made_check(made())}))
    browser.resize(1200, 900)
    browser.open(write_report(run_folder).as_uri())
    browser.wait_for("document.querySelectorAll('.scroll').length > 5")
    wide = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth)"
    assert browser.run(f"{wide}.map((box) => box.innerText.slice(0, 80))") == []
    assert browser.run("document.documentElement.scrollWidth") <= 1200
