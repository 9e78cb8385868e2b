"""Cuts by score are paired with the lot of their own dense model and size."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
lots = importlib.import_module("sia_validation_lots")


def line(criterion: str, ratio: float, calibration: float, test: float, accuracy: float, **more) -> dict:
    return {
        "task": "load",
        "split": "load",
        "seed": 0,
        "attention": "gqa",
        "ffn": "gelu",
        "treatment": "closed",
        "criterion": criterion,
        "ratio": ratio,
        "recovery_steps": 0,
        "calibration_kl": calibration,
        "kl": [test, 3 * test],
        "loss": [test, test],
        "accuracy": [accuracy, accuracy],
        **more,
    }


def test_each_cut_is_held_against_the_lot_of_its_size():
    lines = [
        line("random", 2.0, 0.4, 0.5, 0.6),
        line("random", 8.0, 2.0, 3.0, 0.3),
        line("taylor", 2.0, 0.1, 0.25, 0.8),
        line("taylor", 8.0, 3.0, 6.0, 0.2),
        line("taylor", 8.0, 9.0, 9.0, 0.9, treatment="naive"),
        line("taylor", 8.0, 9.0, 9.0, 0.9, recovery_steps=40),
        line("taylor", 2.0, 9.0, 9.0, 0.9, seed=1, treatment="dense"),
    ]
    found = lots.comparisons(lines)
    assert [(entry.foretold, entry.happened) for entry in found] == [(0.25, 0.5), (1.5, 2.0)]
    assert found[0].loss == pytest.approx(-0.25)
    assert found[1].accuracy == pytest.approx(-0.1)
    text = lots.page(found)
    assert "| 0 to 0.5 | 1 | 100 | 100 | 100 | 0.50 | +20.0 |" in text
    assert "of 1 foretold above 1, 1 were; of 1 foretold below, 1 were." in text
