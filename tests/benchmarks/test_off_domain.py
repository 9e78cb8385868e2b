"""The table of the off-domain study: ratios over dense, and the worst text over the calibration's own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from secateur.core.progress import quiet

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("study", BENCHMARKS / "off_domain.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "study", module)
    spec.loader.exec_module(module)
    return module


def test_the_table_tells_the_worst_text_over_the_own_one(study, tmp_path):
    dense = {"Python docs": 10.0, "Debian FAQ": 20.0, "fortunes": 40.0}
    cut = {"Python docs": 11.0, "Debian FAQ": 30.0, "fortunes": 66.0}
    cells = [
        {"share": 0.0, "perplexity": dense},
        {
            "share": 0.2,
            "general_share": 0.5,
            "way": "secateur",
            "blocks": "32+128",
            "steps": 0,
            "perplexity": cut,
            "processor_seconds": 61.4,
        },
    ]
    with quiet():
        study.write_table(tmp_path / "out", cells)
    last = (tmp_path / "out.md").read_text().splitlines()[-1]
    assert last == "| 20% | secateur | 50% | 32+128 | 0 | 1.10 | 1.50 | 1.65 | 1.50 | 61 |"
