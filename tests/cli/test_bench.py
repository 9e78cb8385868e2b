"""``secateur bench``: once as a user would, and what it refuses."""

from __future__ import annotations

import json
import shutil
from xml.etree import ElementTree

import pytest

from secateur.bench import measure
from secateur.bench.process import Worker
from secateur.bench.rates import Rates
from secateur.cli.app import run
from secateur.core.errors import MeasurementError

RATES = Rates(threads=1, sizes_bytes=(1e6, 1e8), bandwidths=(8e10, 3e10), float_rate=1e11, integer_rate=4e11)
QUICK = ("--seconds", "0.2", "--starts", "1")


@pytest.fixture(autouse=True)
def known_rates(monkeypatch):
    monkeypatch.setattr(measure, "measure_rates", lambda *, threads: RATES)


@pytest.fixture
def two(bundle_folder, tmp_path):
    return [str(shutil.copytree(bundle_folder, tmp_path / name)) for name in ("dense", "cut")]


def test_two_bundles_side_by_side(two, tmp_path, capsys):
    out = tmp_path / "measured"
    assert run(["bench", two[1], "--against", two[0], *QUICK, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    for words in ("times less than dense", "CPU p50", "resident memory", "energy is not measured", "GFLOP/s"):
        assert words in shown
    told = json.loads((out / "bench.json").read_text())
    assert [model["name"] for model in told["groups"][0]["models"]] == ["dense", "cut"]
    assert told["groups"][0]["models"][1]["diagnosis"]["peak"] < 250 * 2**20
    assert told["groups"][0]["comparisons"][0]["stored"] == 1.0
    pictures = {path.name for path in out.iterdir()} - {"bench.json"}
    assert pictures == {f"{name}.{end}" for name in ("latency", "memory", "ratios") for end in ("png", "svg")}
    assert (out / "latency.png").read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse(out / "ratios.svg").getroot().tag.endswith("svg")


def test_a_worker_that_dies_leaves_nothing_behind(two, tmp_path, capsys, monkeypatch):
    def die(self, command, **arguments):
        self._process.kill()
        self._process.wait()
        raise MeasurementError("the process that measures dense was ended by SIGKILL before it answered.")

    monkeypatch.setattr(Worker, "ask", die)
    out = tmp_path / "measured"
    assert run(["bench", two[0], *QUICK, "--out", str(out), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "MeasurementError"
    assert {path.name for path in tmp_path.iterdir()} == {"dense", "cut"}


def test_wrong_use_has_exit_code_two(two, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    for arguments, words in (
        (["--tokens", "16"], "the window decides"),
        (["--tokens", "few"], "whole numbers"),
        (["--seconds", "0"], "more than 0 seconds"),
        (["--against", two[0]], "named twice"),
        (["--out", str(tmp_path / "full")], "holds something else"),
        (["--against", str(tmp_path / "none")], "does not exist"),
    ):
        assert run(["bench", two[0], *arguments, "--json"]) == 2
        assert words in json.loads(capsys.readouterr().out)["error"]
