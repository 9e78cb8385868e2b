"""Fifty seeded runs of the fault matrix, most of them long; the whole is ``benchmarks/agent/faults.py``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mosquitto import BROKER, REASON

BENCHMARKS = Path(__file__).parents[3] / "benchmarks" / "agent"
FAULTS = (
    "kill -9",
    "power cut, torn and lost writes",
    "disk full",
    "broker killed",
    "clock jumps of a day",
    "half-open connection",
    "duplicate client id",
    "slow consumer",
)
NEW_SEEDS = range(1000, 1006)
"""Beyond those of the published table."""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROKER is None, reason=REASON)]


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", ":".join([str(BENCHMARKS), *filter(None, sys.path)]))
    yield importlib.import_module("faults")


def _nothing_is_lost(faults: Any, fault: str, seed: int) -> None:
    outcome = faults.one_run(fault, seed)
    assert outcome.is_good, outcome
    assert outcome.acknowledged == faults.BURSTS


@pytest.mark.parametrize("fault", FAULTS[:5])
def test_nothing_acknowledged_is_lost(fault: str, faults: Any) -> None:
    _nothing_is_lost(faults, fault, 1)


@pytest.mark.long
@pytest.mark.parametrize("seed", NEW_SEEDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_acknowledged_is_lost_over_many_seeds(fault: str, seed: int, faults: Any) -> None:
    _nothing_is_lost(faults, fault, seed)


def test_every_kind_of_fault_is_run(faults: Any) -> None:
    assert set(FAULTS) == set(faults.FAULTS)
