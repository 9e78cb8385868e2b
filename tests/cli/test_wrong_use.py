"""Wrong use of the commands: one clear message, an exit code, and nothing left behind."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import yaml

from secateur.cli.app import run


@pytest.fixture
def refused(capfd, tmp_path):
    """Call a command that must fail, with and without ``--json``; return its one message."""

    def call(*arguments, code=2, kind=None, out=tmp_path / "out", left=()):
        arguments = [str(argument) for argument in arguments]
        if out is not None:
            arguments += ["--out", str(out)]
        assert run([*arguments, "--json"]) == code
        told = capfd.readouterr()
        answer = json.loads(told.out)
        assert told.err == f"error: {answer['error']}\n"
        assert "Traceback" not in answer["error"]
        assert kind is None or answer["kind"] == kind
        if out is not None:
            assert sorted(path.name for path in tmp_path.glob("out/*")) == sorted(left)
            assert not list(tmp_path.glob(".out*"))
        return answer["error"]

    return call


@pytest.fixture
def own_rig(small_rig, tmp_path):
    """A copy of the recordings that a test may spoil, and a function that rewrites their YAML."""
    folder = shutil.copytree(small_rig, tmp_path / "rig")

    def rewrite(change):
        description = yaml.safe_load((folder / "recordings.yaml").read_text())
        change(description)
        (folder / "recordings.yaml").write_text(yaml.safe_dump(description))

    return folder, rewrite


def compress(data, *options):
    return ("compress", "--data", data, "--backbone", "nano-mha", "--ratio", "1.3", *options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--split", "nonsense"],
            "unknown split protocol 'nonsense'; allowed: random_window, load, fault_size",
        ),
        (["--split", "load:3"], "takes no argument"),
        (["--split", "fault_size:13"], "the recordings have no such fault size; allowed: 14, 21"),
        (["--split", "load@loud"], "'loud' is not a signal-to-noise ratio"),
        (["--backbone", "tiny"], "neither a preset (nano-mha, nano-gqa, micro-mha"),
        (["--criterion", "luck"], "luck"),
        (["--method", "magic"], "magic"),
        (["--ratio", "0.5"], "at least 1"),
        (["--ratio", "nan"], "ratio is nan"),
        (["--ratio", "big"], "Invalid value for '--ratio'"),
        (["--snr", "quiet"], "'quiet' is not a list of numbers"),
        (["--layers", "1"], "missing: --heads, --channels"),
        (["--layers", "1", "--heads", "5", "--channels", "8"], "heads"),
        (["--layers", "9", "--heads", "1", "--channels", "8"], "layers"),
        (["--layers", "1", "--heads", "1", "--channels", "65"], "channels"),
        (["--multiple", "0"], "multiple"),
        (["--min-accuracy", "95"], "--min-accuracy is 95.0; it must lie in 0..1"),
        (
            ["--min-accuracy", "0.5", "--method", "one_shot"],
            "--min-accuracy: not for method 'one_shot'; leave out, or choose --method cascade",
        ),
        (["--batch-size", "0"], "Invalid value for '--batch-size'"),
        (["--train-steps", "-5"], "Invalid value for '--train-steps'"),
        (["--channel", "DE"], "DE"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_written(options, said, small_rig, refused):
    assert said in refused(*compress(small_rig, *options))


def test_a_missing_path_is_named(refused, tmp_path):
    assert f"{tmp_path / 'nowhere'} does not exist" in refused(*compress(tmp_path / "nowhere"))
    assert "--data" in refused("compress")


def test_a_run_on_a_model_asks_for_data_before_a_criterion_does(refused):
    assert "a run is judged on data; give --calibration FILE" in refused(
        "compress", "model", "--ratio", "1.2"
    )


def test_a_ratio_out_of_reach_names_the_largest_that_is_in_reach(small_rig, refused, tmp_path):
    message = refused(*compress(small_rig, "--ratio", "50"), kind="PlanError")
    assert "largest ratio that can be reached is" in message
    largest = float(message.split("largest ratio that can be reached is ")[1].split(";")[0])
    assert 1 < largest < 50
    refused(*compress(small_rig, "--ratio", str(largest + 0.01)), kind="PlanError")
    # the named one passes; what stops this call is the folder
    (tmp_path / "out").write_text("a file")
    message = refused(*compress(small_rig, "--ratio", str(largest)), kind="ConfigError")
    assert "no run folder" in message


def test_a_rate_missing_in_the_yaml_is_asked_for(own_rig, refused):
    folder, rewrite = own_rig
    rewrite(lambda description: description.pop("sampling_rate_hz"))
    message = refused(*compress(folder), kind="DataError")
    assert "sampling_rate_hz" in message
    assert "recordings.yaml" in message


@pytest.mark.parametrize("location", ["014", "021", "_n_"])
def test_a_nan_is_named_with_its_place(location, own_rig, refused):
    """Be it in a recording of the training or of the test side, it shows before the training starts."""
    folder, _ = own_rig
    path = sorted(folder.glob(f"*{location}*.npy"))[-1]
    samples = np.load(path)
    samples[..., 20_123] = np.nan
    np.save(path, samples)
    message = refused(*compress(folder), kind="DataError")
    assert path.stem in message
    assert "sample 20123 (1.677 s) is NaN" in message


def test_too_few_groups_are_named(own_rig, refused):
    folder, rewrite = own_rig

    def one_ball_bearing(description):
        for entry in description["recordings"]:
            if entry["label"] == "ball":
                entry["group"] = "the only ball bearing"

    rewrite(one_ball_bearing)
    message = refused(*compress(folder, "--split", "specimen"), kind="DataError")
    assert "class ball has one specimen only (the only ball bearing)" in message


def test_one_group_on_both_sides_is_refused(own_rig, refused):
    folder, rewrite = own_rig

    def one_inner_bearing(description):
        for entry in description["recordings"]:
            if entry["label"] == "inner_race":
                entry["group"] = "same"

    rewrite(one_inner_bearing)
    message = refused(*compress(folder, "--split", "fault_size:14"), kind="DataError")
    assert "specimen same stands in training and in test" in message


def test_an_out_folder_of_something_else_is_left_as_it_is(small_rig, refused, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.txt").write_text("ten years of work")
    message = refused(*compress(small_rig), kind="ConfigError", left=["thesis.txt"])
    assert "choose a new or empty folder" in message


def test_several_folds_are_no_task_for_one_model(small_rig, refused):
    command = ("train", "--data", small_rig, "--backbone", "nano-mha", "--split", "fault_size:all")
    assert "name one of fault_size:14, fault_size:21" in refused(*command)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--precision", "int2"), "choose fp32 or bf16 or int8 or int4 for onnx"),
        (("--precision", "bf16", "--format", "gguf"), "choose fp32 or fp16 or int8 or int4 for gguf"),
        (("--precision", "bf16", "--format", "executorch"), "fp32 or int8 for executorch: ExecuTorch leaves"),
        (("--precision", "int8", "--quantise", "maybe"), "choose dynamic or static"),
        (("--quantise", "static"), "needs --precision int8"),
        (("--precision", "int8", "--quantise", "weights"), "choose dynamic or static for onnx"),
    ],
)
def test_a_precision_that_cannot_be_exported_is_refused(options, said, refused, tmp_path):
    assert said in refused("export", tmp_path / "model", *options, kind="ConfigError")


@pytest.mark.parametrize("command", ["evaluate", "export", "prune"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "plan.json").unlink(), "plan.json is missing"),
        (lambda folder: flip(folder / "model.safetensors"), "does not match its checksum"),
        (lambda folder: cut_short(folder / "model.safetensors"), "does not match its checksum"),
        (lambda folder: cut_short(folder / "config.json"), "does not match its checksum"),
        (lambda folder: cut_short(folder / "checksums.json"), "is not valid JSON"),
    ],
)
def test_a_damaged_checkpoint_is_refused(command, damage, said, small_run, refused, tmp_path):
    folder = shutil.copytree(small_run / "dense", tmp_path / "model")
    damage(folder)
    options = ["--ratio", "1.3"] if command == "prune" else []
    out = None if command == "evaluate" else tmp_path / "out"
    assert said in refused(command, folder, *options, code=1, kind="CheckpointError", out=out)


@pytest.mark.parametrize("command", ["evaluate", "export", "prune"])
def test_a_checkpoint_that_is_not_there_is_refused(command, refused, tmp_path):
    options = ["--ratio", "1.3"] if command == "prune" else []
    out = None if command == "evaluate" else tmp_path / "out"
    said = refused(command, tmp_path / "model", *options, kind="ConfigError", out=out)
    assert "model is not a folder" in said


def flip(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-7])


def test_a_checkpoint_and_recordings_that_do_not_fit_each_other(small_run, small_rig, refused):
    message = refused("evaluate", small_run / "pruned", "--split", "load", out=None, kind="ConfigError")
    assert "the model knows normal, inner_race, outer_race, ball" in message
    message = refused("evaluate", small_run / "pruned", "--data", small_rig / "nothing", out=None)
    assert "does not exist" in message


def test_a_report_needs_a_run(tmp_path, refused):
    message = refused("report", tmp_path / "nowhere", out=None)
    assert "nowhere holds no result.json, so it is no finished run" in message
    assert list(tmp_path.iterdir()) == []
