"""Recordings of three seconds can be trained on; a model is scored on whatever classes a set has."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from secateur.cli.app import run

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture
def part_of_the_rig(small_rig, tmp_path):
    """Write a set of some of the small rig's recordings, cut to a length."""

    def write(labels, seconds):
        folder = tmp_path / f"part_{'_'.join(labels)}_{seconds:g}"
        folder.mkdir()
        description = yaml.safe_load((small_rig / "recordings.yaml").read_text())
        kept = [entry for entry in description["recordings"] if entry["label"] in labels]
        for entry in kept:
            samples = np.load(small_rig / entry["file"])[..., : round(12_000 * seconds)]
            np.save(folder / entry["file"], samples)
        (folder / "recordings.yaml").write_text(yaml.safe_dump({**description, "recordings": kept}))
        return folder

    return write


def answered(capfd, *arguments):
    code = run([*map(str, arguments), "--json"])
    return code, json.loads(capfd.readouterr().out)


@pytest.mark.slow
def test_three_seconds_are_enough_for_shorter_windows(part_of_the_rig, tmp_path, capfd):
    data = part_of_the_rig(("normal", "inner_race", "outer_race", "ball"), 3.0)
    options = ("--data", data, "--split", "fault_size:14", "--backbone", "nano-mha", "--train-steps", 4)
    code, told = answered(capfd, "train", *options, "--batch-size", 4, "--out", tmp_path / "long")
    assert code == 2
    assert "no window of 0.683 s" in told["error"]
    checked = answered(capfd, "data", "check", data, "--split", "fault_size:14")
    assert (checked[0], checked[1]["errors"]) == (2, 1)
    shorter = ("--window-length", 4096)
    checked = answered(capfd, "data", "check", data, "--split", "fault_size:14", *shorter)
    assert (checked[0], checked[1]["errors"]) == (0, 0)
    code, _ = answered(capfd, "train", *options, "--batch-size", 4, *shorter, "--out", tmp_path / "short")
    assert code == 0
    code, told = answered(capfd, "evaluate", tmp_path / "short")
    # 8 recordings of 3 s: windows of 4096 samples that overlap by half
    windows = told["evaluation"]["windows"]
    assert (code, windows) == (0, 8 * ((36_000 - 4096) // 2048 + 1))


def test_a_class_too_short_for_a_window_is_refused(part_of_the_rig, tmp_path, capfd):
    data = part_of_the_rig(("normal", "inner_race", "outer_race", "ball"), 3.5)
    for entry in yaml.safe_load((data / "recordings.yaml").read_text())["recordings"]:
        if entry["label"] == "ball":
            np.save(data / entry["file"], np.load(data / entry["file"])[..., :8000])
    said = "training: no window of 0.683 s is of class ball"
    code, told = answered(capfd, "data", "check", data, "--split", "specimen")
    assert code == 2
    assert said in str(told["findings"])
    options = ("--data", data, "--split", "specimen", "--backbone", "nano-mha")
    code, told = answered(capfd, "train", *options, "--out", tmp_path / "out")
    assert code == 2
    assert said in told["error"]


def test_what_is_there_is_scored_and_what_is_absent_is_named(small_run, part_of_the_rig, capfd):
    balls = part_of_the_rig(("ball",), 3.5)
    code, told = answered(capfd, "evaluate", small_run / "dense", "--data", balls)
    assert code == 0
    assert told["absent_classes"] == ["normal", "inner_race", "outer_race"]
    assert told["split"]["protocol"] == "everything"
    evaluation = told["evaluation"]
    assert evaluation["false_alarm_rate"] is None
    assert evaluation["per_class_recall"]["ball"] == evaluation["accuracy"]
    assert evaluation["per_class_recall"]["normal"] is None
    # the rig's 14 mil balls were held out, its 21 mil balls trained on
    assert "the model was trained on test specimens" in told["split"]["leak_reason"]
    assert run(["evaluate", str(small_run / "dense"), "--data", str(balls)]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert "no window of normal, inner_race, outer_race: these classes are not judged" in shown
