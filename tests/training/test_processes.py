"""Two processes train what one trains: the same weights, decisions and files."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from secateur.core.errors import CheckpointError, ConfigError
from secateur.models.checkpoint import load
from secateur.training.fit import fit
from secateur.training.processes import Processes, agreed
from secateur.training.settings import FitSettings

SCRIPT = Path(__file__).with_name("together.py")
SHARED = SCRIPT.parents[1]
SCENARIOS = ("fit", "aligned", "weighted", "recovery", "text", "resumed")


class Second(Processes):
    """The second of three, as far as it does not talk to the others."""

    rank, count = 1, 3


def test_every_process_has_its_rows_and_all_rows_are_had():
    batch = {"ids": torch.arange(14).reshape(7, 2), "label": torch.arange(7)}
    parts = []
    for rank in range(3):
        processes = Second()
        processes.rank = rank
        own, share = processes.part(batch)
        assert share == len(own["label"]) / 7
        assert torch.equal(own["ids"], batch["ids"][own["label"]])
        parts.append(own["label"])
    assert sorted(torch.cat(parts).tolist()) == list(range(7))
    assert Second().own(range(0, 70, 10)) == range(10, 70, 30)


def test_more_processes_than_rows_are_refused():
    with pytest.raises(ConfigError, match=r"batch_size is 2, but 3 processes.*raise batch_size"):
        Second().require_enough_rows(2)
    Second().require_enough_rows(3)


def test_one_process_alone_changes_nothing():
    alone = Processes()
    assert (alone.rank, alone.count) == (0, 1)
    batch = {"label": torch.arange(3)}
    assert alone.part(batch) == (batch, 1.0)
    value = {"a": 1}
    assert agreed(value) is value
    rows = {2: torch.tensor([[2.0]]), 0: torch.tensor([[0.0], [1.0]])}
    assert alone.collected(rows, n_rows=3).tolist() == [[0.0], [1.0], [2.0]]


def test_a_state_that_the_first_process_does_not_see_is_refused(spectrum_net, train, validation, monkeypatch):
    monkeypatch.setattr("secateur.training.loop.agreed", lambda step: step + 7)
    with pytest.raises(CheckpointError, match="step 0 in None, the first process that of step 7"):
        fit(spectrum_net, train, validation, FitSettings(max_steps=2, batch_size=4))


def launch(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run something in two processes on the CPU."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(port)]
    return python("-m", *launcher, *arguments)


def python(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(SHARED)}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    """What one process left, and what two did."""
    alone, both = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("both")
    for done in (python(SCRIPT, alone), launch(SCRIPT, both)):
        assert done.returncode == 0, done.stderr
    return alone, both


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_processes_reach_the_weights_of_one(trained, scenario):
    alone, both = trained
    expected = load_file(alone / "weights-0.safetensors")
    first, second = (load_file(both / f"weights-{rank}.safetensors") for rank in range(2))
    names = [name for name in expected if name.startswith(f"{scenario}.")]
    assert len(names) > 20
    for name in names:
        torch.testing.assert_close(first[name], expected[name], atol=2e-5, rtol=0)
        assert torch.equal(first[name], second[name]), name


@pytest.mark.slow
def test_two_processes_decide_as_one(trained):
    alone, both = trained
    expected = json.loads((alone / "figures-0.json").read_text())
    first, second = (json.loads((both / f"figures-{rank}.json").read_text()) for rank in range(2))
    assert first == second
    for scenario, figures in expected.items():
        for name in ("steps", "best_step", "stopped_early"):
            assert first[scenario][name] == figures[name], (scenario, name)
        if scenario != "harmed":
            assert first[scenario]["validation"] == pytest.approx(figures["validation"], abs=1e-5)
            assert first[scenario]["training"] == pytest.approx(figures["training"], abs=1e-5)
    assert first["harmed"]["stopped_early"]
    assert first["resumed"] == first["fit"]


@pytest.mark.slow
def test_one_state_is_left_by_both(trained):
    _, both = trained
    assert sorted(path.name for path in (both / "state").iterdir()) == [
        "state-end.safetensors",
        "state.json",
    ]


@pytest.mark.long
def test_the_commands_work_in_two_processes(small_rig, tmp_path):
    dense, cut = tmp_path / "dense", tmp_path / "cut"
    options = ["--data", small_rig, "--split", "fault_size:14", "--backbone", "nano-gqa"]
    train = ["train", *options, "--train-steps", 6, "--batch-size", 8, "--out", dense, "--json"]
    done = launch("-m", "secateur", *train)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 6
    assert "2 processes work together" in done.stderr

    prune = ["prune", dense, "--ratio", 1.2, "--recovery-steps", 4, "--batch-size", 8, "--out", cut, "--json"]
    done = launch("-m", "secateur", *prune)
    assert done.returncode == 0, done.stderr
    assert [stage["stage"] for stage in json.loads(done.stdout)["stages"]] == ["layers", "groups", "channels"]
    assert load(cut).config == load(dense).config
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut", "cut.records.jsonl", "dense"]

    done = launch("-m", "secateur", *prune[:3], 999, "--out", tmp_path / "none", "--json")
    assert done.returncode != 0
    assert json.loads(done.stdout)["kind"] == "PlanError"
    assert not (tmp_path / "none").exists()
