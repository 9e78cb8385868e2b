"""``--out`` of every command: one at a time, and no other command's result is replaced unasked."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from secateur.cli.app import run
from secateur.core.errors import ConfigError
from secateur.core.records import read_json, write_json
from secateur.workflow.claim import claim

HOLDER = """
import sys
from pathlib import Path
from secateur.core.locks import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def taken(tmp_path):
    """A place at which another process is at work, and the number of that process."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "out"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        yield tmp_path / "out", process.pid
        process.kill()


COMMANDS = {
    "compress": ["--data", "simulated"],
    "train": ["--data", "simulated"],
    "pretrain": [],
    "prune": ["nowhere"],
    "prune --max-memory": ["nowhere", "--max-memory", "1GiB"],
    "export": ["nowhere"],
    "order": ["--data", "simulated"],
    "sia": ["nowhere"],
    "bench": ["nowhere"],
    "profile": ["small-mha"],
    "diagnose": ["nowhere.wav", "--bundle", "nowhere"],
    "data fetch": ["cwru"],
    "bundle create": ["nowhere"],
}
"""Enough for each to look at ``--out``, and nothing that it could work on."""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_command_at_one_place_is_told_who_works_there(command, taken, capsys):
    out, process = taken
    name = command.partition(" --")[0]
    assert run([*name.split(), *COMMANDS[command], "--out", str(out)]) == 2
    assert f"{out} is being written by process {process} on " in capsys.readouterr().err
    assert not out.exists()


MARKERS = {
    "prune": ("checksums.json", "secateur.json"),
    "export": ("manifest.json", "manifest.json"),
    "export --format gguf": ("gguf.json", "gguf.json"),
    "sia": ("sia.json", "sia.json"),
    "bench": ("bench.json", "bench.json"),
    "diagnose": ("diagnosis.json", "diagnosis.json"),
}
"""By which file a result is known, and which tells the command that made it."""


@pytest.mark.parametrize("command", MARKERS)
def test_another_commands_result_is_replaced_with_the_word_only(command, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    marker, record = MARKERS[command]
    (out / marker).write_text("{}")
    (out / record).write_text(json.dumps({"metadata": {"provenance": {"command": "secateur other"}}}))
    name, _, option = command.partition(" --")
    options = f"--{option}".split() if option else []
    arguments = [name, *COMMANDS[name], *options, "--out", str(out)]
    assert run(arguments) == 2
    assert f"{out} holds the result of 'secateur other'; add --overwrite" in capsys.readouterr().err
    assert run([*arguments, "--overwrite"]) != 0
    assert "--overwrite" not in capsys.readouterr().err, "it fails for want of a model, not of the word"
    assert json.loads((out / record).read_text())["metadata"]["provenance"]["command"] == "secateur other"


def test_a_run_with_other_settings_goes_with_the_word_only(tmp_path):
    out = tmp_path / "run"
    claim(out, {"ratio": 2.0}, seed=0)
    (out / "dense").mkdir()
    claim(out, {"ratio": 2.0}, seed=0, overwrite=True)
    assert (out / "dense").exists(), "the very same run goes on"
    with pytest.raises(ConfigError, match=r"ratio: 2\.0 there, 3\.0 asked for.*--overwrite"):
        claim(out, {"ratio": 3.0}, seed=0)
    claim(out, {"ratio": 3.0}, seed=0, overwrite=True)
    assert [path.name for path in out.iterdir()] == ["run.json"]
    assert read_json(out / "run.json")["settings"] == {"ratio": 3.0}


def test_a_run_on_data_that_have_changed_since_is_not_gone_on_with(tmp_path):
    out = tmp_path / "run"
    claim(out, {"ratio": 2.0}, seed=0, data_sha256=["a"])
    (out / "dense").mkdir()
    claim(out, {"ratio": 2.0}, seed=0, data_sha256=["a"], overwrite=True)
    assert (out / "dense").is_dir()
    with pytest.raises(ConfigError, match="on other data, or of another model: what the files hold"):
        claim(out, {"ratio": 2.0}, seed=0, data_sha256=["b"])
    assert (out / "dense").is_dir()
    claim(out, {"ratio": 2.0}, seed=0, data_sha256=["b"], overwrite=True)
    assert not (out / "dense").exists()
    write_json(out / "run.json", {"settings": {"ratio": 2.0}})  # of an earlier version
    claim(out, {"ratio": 2.0}, seed=0, data_sha256=["c"])
