"""Ctrl-C in training: one line, no half artefact, and the same command goes on afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import secateur.training.loop
from secateur.cli.app import run
from secateur.core.records import read_json

pytestmark = pytest.mark.slow

SECATEUR = str(Path(sys.executable).with_name("secateur"))
# states are written every 200 steps
STEPS = 260


def train(data, out):
    options = ["--split", "fault_size:14", "--backbone", "nano-gqa", "--train-steps", str(STEPS)]
    return ["train", "--data", str(data), *options, "--batch-size", "4", "--out", str(out), "--json"]


def test_ctrl_c_in_training_leaves_a_run_that_goes_on(small_rig, tmp_path, capfd, monkeypatch):
    out, partial = tmp_path / "dense", tmp_path / ".dense.partial"
    process = subprocess.Popen(
        [SECATEUR, *train(small_rig, out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        deadline = time.monotonic() + 600
        while not (partial / "state.json").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        answer, told = process.communicate(timeout=600)
    assert process.returncode == 1
    assert told == f"error: {json.loads(answer)['error']}\n"
    assert json.loads(answer)["kind"] == "Interrupted"
    assert list(tmp_path.iterdir()) == [partial]
    state = read_json(partial / "state.json")
    assert state["step"] == 200
    assert {path.name for path in partial.iterdir()} == {"state.json", state["tensors"]}

    steps = []
    write_state = secateur.training.loop.write_state
    monkeypatch.setattr(
        secateur.training.loop,
        "write_state",
        lambda folder, state, fingerprint: (
            steps.append(state.step),
            write_state(folder, state, fingerprint),
        ),
    )
    assert run(train(small_rig, out)) == 0
    assert steps[0] == STEPS
    captured = capfd.readouterr()
    assert json.loads(captured.out)["steps"] == STEPS
    assert captured.err == ""
    assert read_json(out / "config.json")["metadata"]["fit"]["steps"] == STEPS
    assert list(tmp_path.iterdir()) == [out]
