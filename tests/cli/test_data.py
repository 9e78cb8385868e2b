"""The ``data`` commands, as a person and as a program calls them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from secateur.cli.app import run
from secateur.signals import fetch as fetch_module
from secateur.signals.fetch import Fetched


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("n1", "n2", "b1", "b2"):
        line = np.cos(2 * np.pi * 0.013 * np.arange(45_000))
        np.save(tmp_path / f"{name}.npy", (rng.standard_normal(45_000) + line).astype(np.float32))
    (tmp_path / "recordings.yaml").write_text(
        "dataset: rig\nsampling_rate_hz: 12000\nspeed_rpm: 1800\nbearing: 6205\nrecordings:\n"
        "  - {file: n1.npy, label: normal, group: n1}\n  - {file: n2.npy, label: normal, group: n2}\n"
        "  - {file: b1.npy, label: ball, group: b1}\n  - {file: b2.npy, label: ball, group: b2}\n"
    )
    return tmp_path


def as_json(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out)


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "list"]) == 0
    assert "cwru" in capsys.readouterr().out
    assert run(["data", "list", "--json"]) == 0
    answer = as_json(capsys)
    assert [entry["name"] for entry in answer["data_sets"]] == ["cwru", "jnu", "uestc", "mfpt"]
    assert "archive" in [layout["name"] for layout in answer["layouts"]]


def test_check_of_sound_recordings(rig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", str(rig)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "4 files read, 4 recordings, 15.0 s: 0 errors, 0 warnings, 0 notes." in shown
    assert run(["data", "check", str(rig), "--json"]) == 0
    answer = as_json(capsys)
    assert (answer["errors"], answer["findings"], answer["files_read"]) == (0, [], 4)
    possible = {split["protocol"]: split["possible"] for split in answer["splits"]}
    assert (possible["specimen"], possible["random_window"], possible["load"]) == (True, True, False)


def test_check_for_one_split_and_window_length(rig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", str(rig), "--split", "specimen"]) == 0
    capsys.readouterr()
    assert run(["data", "check", str(rig), "--split", "load"]) == 2
    assert "the load of 4 recordings is unknown" in " ".join(capsys.readouterr().out.split()).replace(
        "│ ", ""
    )
    # the validation part, a fifth of 3.75 s, holds no window of 16384 samples
    assert run(["data", "check", str(rig), "--split", "specimen", "--window-length", "16384", "--json"]) == 2
    (finding,) = as_json(capsys)["findings"]
    assert "no window of 1.365 s" in finding["message"]


def test_check_of_a_nan_exits_with_2(rig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = np.load(rig / "b1.npy")
    samples[123] = np.nan
    np.save(rig / "b1.npy", samples)
    assert run(["data", "check", str(rig)]) == 2
    assert "not_finite" in capsys.readouterr().out
    assert run(["data", "check", str(rig), "--json"]) == 2
    answer = as_json(capsys)
    assert answer["errors"] == 1
    assert answer["findings"][0]["subject"] == "b1"
    assert "sample 123 (0.010 s) is NaN" in answer["findings"][0]["message"]


def test_describe_with_pictures(rig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "describe", str(rig), "--out", str(rig / "pictures"), "--json"]) == 0
    answer = as_json(capsys)
    counts = [(entry["label"], entry["recordings"]) for entry in answer["classes"]]
    assert counts == [("normal", 2), ("ball", 2)]
    assert [Path(path).name for path in answer["pictures"]] == ["rig_ball.svg", "rig_normal.svg"]
    assert all(Path(path).is_file() for path in answer["pictures"])
    assert run(["data", "describe", str(rig)]) == 0
    assert "4 recordings" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["data", "check", "/no/such/place"], 2, "/no/such/place does not exist"),
        (["data", "describe", "/no/such/place"], 2, "/no/such/place does not exist"),
        (["data", "fetch", "xx", "--out", "unused"], 2, "unknown data set 'xx'; allowed: cwru"),
        (["data", "fetch", "cwru"], 2, "--out"),
    ],
)
def test_wrong_use_gets_one_message(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == code
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told


def test_a_rate_missing_in_the_yaml(rig: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rig / "recordings.yaml").write_text("dataset: rig\nrecordings: [{file: n1.npy}]\n")
    assert run(["data", "describe", str(rig), "--json"]) == 2
    answer = as_json(capsys)
    assert answer["kind"] == "DataError"
    assert "sampling_rate_hz" in answer["error"]


def test_fetch_reports_what_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pretend(name: str, out: Path) -> Fetched:
        came = ("a.mat",)
        return Fetched(
            name=name, folder=out, downloaded=came, present=(), unverified=came, sha256={"a.mat": "00"}
        )

    monkeypatch.setattr(fetch_module, "fetch", pretend)
    assert run(["data", "fetch", "cwru", "--out", str(tmp_path), "--json"]) == 0
    assert as_json(capsys)["downloaded"] == ["a.mat"]
    assert run(["data", "fetch", "cwru", "--out", str(tmp_path)]) == 0
    assert "1 file downloaded" in capsys.readouterr().out
