"""A bundle held against its limits: verdicts on measurements that are made up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from even_shapes import even_table, whole
from secateur.bench.turns import Turn
from secateur.core.progress import quiet
from secateur.core.provenance import provenance
from secateur.report.device import in_words
from secateur.structure.memory import MIB
from secateur.workflow import device_check
from secateur.workflow.cut_settings import DeviceLimits
from secateur.workflow.device_check import check_on_device

PLAN = whole("gpt2", 1)
TABLE = even_table(
    heads=(4,),
    channels=(64,),
    heads_ms=((2.0,),),
    channels_ms=((2.0,),),
    provenance={"machine": provenance()["machine"]},
)


@pytest.fixture
def measured(monkeypatch):
    """Give every turn the processor times, and the process the peak, that a test says."""

    def set_to(cpu_ms, peak_mib):
        class FakeWorker:
            def __init__(self, work):
                assert (work.kind, work.path, work.threads) == ("bundle", "bundle", 1)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def ask(self, command):
                assert command == "memory"
                return {"now": None, "peak": None if peak_mib is None else peak_mib * MIB}

        turns = [Turn(wall_ms=(99.0,), cpu_ms=(time,), inferences=1, joules=0.0) for time in cpu_ms]
        monkeypatch.setattr(device_check, "Worker", FakeWorker)
        monkeypatch.setattr(device_check, "take_turns", lambda *_, **__: [turns])

    return set_to


def check(limits):
    with quiet():
        return check_on_device("bundle", limits, PLAN, window_tokens=16)


LIMITS = DeviceLimits(latency_ms=5.0, latency_table=TABLE, memory_mib=90.0)


@pytest.mark.parametrize(
    ("cpu_ms", "verdict"),
    [
        ([4.0, 4.1, 4.2], "kept"),
        ([4.9, 5.1, 5.2], "within noise"),
        ([5.1, 5.2, 5.3], "broken"),
    ],
)
def test_a_latency_is_judged_by_the_spread_of_its_turns(cpu_ms, verdict, measured):
    measured(cpu_ms, 80)
    found = check(LIMITS)
    assert found["latency"]["verdict"] == verdict
    # front end 1.5, outside 0.5, one layer of 2.0
    assert found["latency"]["predicted"] == pytest.approx(4.0)
    assert found["latency"]["measured"] == sorted(cpu_ms)[1]
    assert found["memory"]["verdict"] == "kept"
    assert found["memory"]["measured"] == 80


def test_a_latency_of_another_machine_is_not_judged(measured):
    measured([9.0], 80)
    elsewhere = replace(TABLE, provenance={"machine": {"platform": "elsewhere"}})
    entry = check(replace(LIMITS, latency_table=elsewhere))["latency"]
    assert entry["verdict"] == "other machine"
    assert "says nothing of the limit" in in_words("latency", entry)


def test_broken_memory_is_told_and_missing_memory_is_not_made_up(measured, capsys):
    measured([4.0], 91)
    found = check_on_device("bundle", LIMITS, PLAN, window_tokens=16)
    assert found["memory"]["verdict"] == "broken"
    told = " ".join(capsys.readouterr().err.split())
    assert "warning: memory:" in told
    assert "90 MiB allowed, 91 MiB measured: more than allowed" in told
    measured([4.0], None)
    entry = check(replace(LIMITS, latency_ms=None, latency_table=None))["memory"]
    assert (entry["measured"], entry["verdict"]) == (None, "not measured")
    assert "not measured" in in_words("memory", entry)
