"""A few seeded runs of the fault matrix; the whole one is ``benchmarks/agent/faults.py``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from mosquitto import BROKER, REASON

BENCHMARKS = Path(__file__).parents[3] / "benchmarks" / "agent"
FAULTS = ("kill -9", "power cut, torn and lost writes", "disk full", "broker killed", "clock jumps of a day")


@pytest.mark.slow
@pytest.mark.skipif(BROKER is None, reason=REASON)
@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_acknowledged_is_lost(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", ":".join([str(BENCHMARKS), *filter(None, sys.path)]))
    faults = importlib.import_module("faults")
    outcome = faults.one_run(fault, 1)
    assert outcome.is_good, outcome
    assert outcome.acknowledged == faults.BURSTS
