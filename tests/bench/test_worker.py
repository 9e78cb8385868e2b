"""The process that is measured: its protocol end to end, and how it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from secateur.bench.process import Worker
from secateur.bench.work import Work
from secateur.bench.worker import LEAST, WARM_UP, turn
from secateur.core.errors import CheckpointError, ConfigError, MeasurementError


def work(path, kind="bundle", tokens=None):
    return Work(kind=kind, path=str(path), tokens=tokens, threads=1)


def test_a_bundle_is_measured_in_a_fresh_process(bundle_folder):
    with Worker(work(bundle_folder)) as worker:
        assert 0 < worker.cold_start_s < 60
        assert 0 < worker.first["imported"] < worker.first["loaded"]
        told = worker.ask("turn", seconds=0.05)
        assert len(told["wall_ns"]) == len(told["cpu_ns"]) == told["inferences"] - WARM_UP >= LEAST
        assert min(told["wall_ns"]) > 0
        whole = worker.ask("diagnose", repeats=2)
        assert len(whole["cpu_ns"]) == 2
        assert whole["sampling_rate_hz"] == 24000.0
        held = worker.ask("memory")
        assert 0 < held["now"] <= held["peak"]
        assert held["peak"] > worker.first["imported"]
        worker.ask("turn", seconds=0.01)


@pytest.mark.parametrize("runner", ["bundle", "graph"])
def test_the_worker_of_a_bundle_or_graph_imports_no_torch(runner):
    program = (
        "import sys, secateur.bench.worker, secateur.bench.runners.{} ; "
        "heavy = [n for n in ('torch', 'transformers', 'onnx', 'sklearn', 'matplotlib') if n in sys.modules];"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", program.format(runner)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_worker_that_dies_is_told_with_how_and_by_what(bundle_folder):
    with Worker(work(bundle_folder)) as worker:
        os.kill(worker._process.pid, signal.SIGKILL)
        with pytest.raises(MeasurementError, match=r"SIGKILL.*memory"):
            worker.ask("turn", seconds=0.05)


def test_what_the_model_says_comes_through_with_its_class(tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match="not valid JSON"):
        Worker(work(tmp_path))


def test_an_unforeseen_failure_shows_its_last_words(bundle_folder):
    with pytest.raises(MeasurementError, match=r"ended with code 1.*TypeError"):
        Worker(replace(work(bundle_folder), threads="two"))


def test_an_unknown_command_is_refused(bundle_folder):
    with Worker(work(bundle_folder)) as worker, pytest.raises(Exception, match="no command 'dance'"):
        worker.ask("dance")


def test_a_graph_that_takes_no_tokens_is_refused(bundle_folder):
    with pytest.raises(ConfigError, match="takes 'tokens'"):
        Worker(work(bundle_folder / "model.onnx", kind="graph", tokens=4))


def test_the_worker_ends_when_the_other_end_is_gone(bundle_folder):
    worker = Worker(work(bundle_folder))
    process = worker._process
    process.stdin.close()
    assert process.wait(timeout=600) == 0
    worker.close()


def test_a_turn_leaves_the_first_inferences_out():
    calls = []
    told = turn(lambda: calls.append(1), seconds=0.0)
    assert told["inferences"] == len(calls) == WARM_UP + LEAST
    assert len(told["wall_ns"]) == LEAST
