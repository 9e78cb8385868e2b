"""The steps of a run as commands, and what they print for programs and for people."""

from __future__ import annotations

import json
import shutil

import pytest

from secateur.cli.app import run
from secateur.core.records import read_json

pytestmark = pytest.mark.usefixtures("traced_once")


@pytest.fixture
def printed(capfd):
    """Call a command that must succeed with ``--json``; its standard output must be one JSON value."""

    def call(*arguments):
        assert run([*(str(argument) for argument in arguments), "--json"]) == 0
        captured = capfd.readouterr()
        assert captured.err == ""
        return json.loads(captured.out)

    return call


@pytest.fixture
def shown(capfd):
    """Call a command that must succeed; return what a person sees, line breaks aside."""

    def call(*arguments):
        assert run([str(argument) for argument in arguments]) == 0
        return " ".join(capfd.readouterr().out.split())

    return call


def small_task(data):
    """Options of ``small_settings``."""
    return (
        *("--data", data, "--split", "fault_size:14", "--backbone", "nano-mha"),
        *("--train-steps", "40", "--batch-size", "8"),
    )


@pytest.mark.slow
def test_compress_prints_the_result_and_is_a_no_op_when_repeated(
    small_rig, small_run, tmp_path, printed, shown
):
    out = tmp_path / "run"
    command = (
        "compress",
        *small_task(small_rig),
        *("--ratio", "1.3", "--recovery-steps", "12", "--snr", "0", "--no-rivals", "--out", out),
    )
    result = printed(*command)
    assert result == read_json(out / "result.json")
    # the same seed, in another folder
    for name in ("dense/model.safetensors", "pruned/plan.json", "pruned/model.safetensors"):
        assert (out / name).read_bytes() == (small_run / name).read_bytes()
    assert result["baselines"] == {}
    written = (out / "result.json").stat().st_mtime_ns
    assert printed(*command) == result
    assert (out / "result.json").stat().st_mtime_ns == written

    text = shown(*command)
    assert "nano-mha on fault_size:14 (does not leak)" in text
    assert f" {100 * result['pruned']['accuracy']:.1f} (" in text
    assert f"report: {out / 'report.html'}" in text


def test_train_then_prune_give_the_models_of_compress(small_rig, small_run, tmp_path, printed, shown):
    dense, pruned = tmp_path / "dense", tmp_path / "pruned"
    command = ("train", *small_task(small_rig), "--out", dense)
    answer = printed(*command)
    assert (answer["checkpoint"], answer["steps"]) == (str(dense), 40)
    assert f"checkpoint: {dense}" in shown(*command)

    answer = printed(
        "prune", dense, "--ratio", "1.3", "--recovery-steps", "12", "--batch-size", "8", "--out", pruned
    )
    assert answer["checkpoint"] == str(pruned)
    assert [stage["stage"] for stage in answer["stages"]] == ["layers", "groups", "channels"]
    for name in ("dense/model.safetensors", "pruned/plan.json", "pruned/model.safetensors"):
        assert (tmp_path / name).read_bytes() == (small_run / name).read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"dense", "pruned", "pruned.records.jsonl"}


def test_prune_by_hand_leaves_the_counts_asked_for(small_run, tmp_path, shown):
    hand = ("--layers", "1", "--heads", "2", "--channels", "24")
    text = shown(
        "prune",
        small_run / "dense",
        *hand,
        "--recovery-steps",
        "2",
        "--batch-size",
        "8",
        "--out",
        tmp_path / "hand",
    )
    assert f"checkpoint: {tmp_path / 'hand'}" in text
    (layer,) = read_json(tmp_path / "hand/plan.json")["layers"]
    assert (len(layer["groups"]), len(layer["channels"])) == (2, 24)


@pytest.mark.parametrize(
    ("method", "stages"), [("cascade", ["layers", "groups", "channels"]), ("one_shot", ["one_shot"])]
)
@pytest.mark.parametrize("criterion", ["magnitude", "activation", "random"])
def test_prune_knows_every_method_and_criterion(method, stages, criterion, small_run, tmp_path, printed):
    chosen = ("--method", method, "--criterion", criterion, "--ratio", "1.2")
    answer = printed(
        "prune",
        small_run / "dense",
        *chosen,
        "--recovery-steps",
        "1",
        "--batch-size",
        "4",
        "--out",
        tmp_path / "small",
    )
    assert [stage["stage"] for stage in answer["stages"]] == stages
    assert {stage["method"] for stage in answer["stages"]} == {method}


def test_an_accuracy_floor_stops_at_the_last_good_stage(small_run, tmp_path, printed):
    floor = ("--min-accuracy", "0.001")
    quick = ("--ratio", "1.3", "--recovery-steps", "2", "--batch-size", "8")
    answer = printed("prune", small_run / "dense", *quick, *floor, "--out", tmp_path / "a")
    assert answer["stopped_by_floor"] is False
    # above what the dense model reaches, the run is refused
    assert run(["prune", str(small_run / "dense"), "--min-accuracy", "1", "--out", str(tmp_path / "b")]) == 2
    assert not (tmp_path / "b").exists()


def test_evaluate_repeats_the_figures_of_the_run(small_run, small_result, printed, shown):
    command = ("evaluate", small_run / "pruned", "--against", small_run / "dense", "--snr", "0")
    answer = printed(*command)
    assert answer["evaluation"] == small_result["pruned"]
    assert answer["fidelity"] == pytest.approx(small_result["fidelity"])
    text = shown(*command)
    assert "accuracy at 0 dB" in text
    assert "agreement with dense" in text


@pytest.mark.slow
def test_export_proves_parity(small_run, tmp_path, printed, shown):
    answer = printed("export", small_run / "pruned", "--out", tmp_path / "bundle")
    assert answer["parity"]["max_abs_diff"] <= 1e-4
    assert answer["bytes"] == sum(path.stat().st_size for path in (tmp_path / "bundle").iterdir())
    assert read_json(tmp_path / "bundle/manifest.json")["labels"] == [
        "normal",
        "inner_race",
        "outer_race",
        "ball",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["dynamic", "static"])
def test_export_in_int8_tells_the_figures_before_and_after(scheme, small_run, tmp_path, printed, shown):
    arguments = ("--precision", "int8", "--quantise", scheme, "--out", tmp_path / "bundle")
    answer = printed("export", small_run / "pruned", *arguments)
    assert answer["precision"] == "int8"
    assert answer["quantisation"]["scheme"] == scheme
    assert answer["graph_bytes"]["bundle"] < answer["graph_bytes"]["float32"]
    manifest = read_json(tmp_path / "bundle/manifest.json")
    assert manifest["metrics"]["measured_on"] == "bundle"
    assert manifest["metrics"]["values"] == answer["figures"]
    judged = printed("evaluate", small_run / "pruned")["evaluation"]
    assert answer["checkpoint"]["accuracy"] == judged["accuracy"]
    assert abs(answer["figures"]["accuracy"] - judged["accuracy"]) <= 0.02


def test_report_is_written_anew(small_run, tmp_path, printed, shown):
    folder = shutil.copytree(small_run, tmp_path / "run")
    (folder / "report.html").unlink()
    assert printed("report", folder) == {"report": str(folder / "report.html")}
    assert shown("report", folder) == str(folder / "report.html")
    assert "<svg" in (folder / "report.html").read_text()


def test_a_folder_with_other_things_in_it_is_never_replaced(small_run, tmp_path, capsys):
    notes = tmp_path / "precious" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    export = ["export", str(small_run / "pruned"), "--out"]
    prune = ["prune", str(small_run / "dense"), "--ratio", "1.3", "--out"]
    for arguments, reason in (
        ([*export, str(notes.parent)], "new or an empty folder"),
        ([*prune, str(notes.parent), "--overwrite"], "new or an empty folder"),
        ([*prune, str(small_run / "dense"), "--overwrite"], "is the model itself"),
        ([*prune, str(small_run / "pruned")], "add --overwrite to replace it"),
    ):
        assert run(arguments) == 2
        assert reason in capsys.readouterr().err
    assert notes.read_text() == "mine"


def test_a_test_of_specimens_that_the_model_was_trained_on_is_said_to_leak(small_run, printed):
    split = printed("evaluate", small_run / "dense", "--split", "fault_size:21")["split"]
    assert split["leaks"] is True
    assert "trained on test specimens" in split["leak_reason"]
