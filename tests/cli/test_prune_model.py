"""``secateur prune`` on models of others, and what it says about wrong use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import secateur
import tiny_tokenizers
from secateur.cli.app import run
from secateur.training import tracking
from zoo import ZOO


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    specimen = next(entry for entry in ZOO if entry.name == "llama")
    tokenizer = tiny_tokenizers.llama()
    specimen.build(vocab_size=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_the_table_shows_before_and_after_and_how_to_load(llama, tmp_path, capfd):
    out = tmp_path / "cut"
    arguments = ["prune", str(llama), "--criterion", "magnitude", "--block-fraction", "0.3", "--uniform"]
    assert run([*arguments, "--out", str(out)]) == 0
    told = capfd.readouterr().out
    for part in ("LlamaForCausalLM, family llama", "parameters", "FLOPs/token", "KV groups a layer"):
        assert part in told
    assert "load with: transformers.AutoModelForCausalLM.from_pretrained(folder)" in told
    assert str(out) in told
    assert secateur.load(out).config.num_hidden_layers == 3


@pytest.mark.parametrize(
    ("options", "advice"),
    [(["--method", "svd"], ""), (["--criterion", "magnitude"], "(--uniform keeps widths equal)")],
)
def test_equal_widths_are_advised_where_they_help(options, advice, llama, tmp_path, capfd):
    assert run(["prune", str(llama), *options, "--ratio", "1.05", "--out", str(tmp_path / "cut")]) == 0
    told = " ".join(capfd.readouterr().out.split())
    assert "not a plain transformers folder: " in told
    assert ("--uniform" in told) == bool(advice)
    assert advice in told


def test_trackers_are_refused_where_nothing_is_trained(llama, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(tracking, "find_spec", lambda name: name)
    arguments = ["prune", str(llama), "--criterion", "magnitude", "--ratio", "1.05", "--track", "mlflow"]
    assert run([*arguments, "--out", str(tmp_path / "cut")]) == 2
    assert "--track mlflow: nothing is trained; add --recovery-steps" in capfd.readouterr().err


def test_json_is_the_only_output(llama, tmp_path, capfd):
    arguments = ["prune", str(llama), "--criterion", "magnitude", "--ratio", "1.05", "--json"]
    assert run([*arguments, "--out", str(tmp_path / "cut")]) == 0
    told = capfd.readouterr()
    result = json.loads(told.out)
    assert told.err == ""
    assert result["form"] == "own"
    assert result["ratio"] >= 1.05
    assert result["checkpoint"] == str(tmp_path / "cut")


def test_a_memory_counts_the_weights_at_the_stated_precision(llama, tmp_path, capfd):
    # float32 on disk; the header of the file is small
    dense = (llama / "model.safetensors").stat().st_size // 4
    mib = 0.9 * 2 * dense / 2**20
    arguments = ["prune", str(llama), "--criterion", "magnitude", "--memory-mib", str(mib), "--json"]
    assert run([*arguments, "--precision", "bf16", "--out", str(tmp_path / "cut")]) == 0
    kept = json.loads(capfd.readouterr().out)["pruned"]["parameters"]
    assert 0.85 * dense < kept <= 0.9 * dense


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        (["--ratio", "1.2"], "ConfigError", "give --calibration FILE"),
        (["--criterion", "magnitude"], "PlanError", "nothing is to be cut"),
        (["--criterion", "magnitude", "--ratio", "900"], "PlanError", "largest ratio"),
        (["--ratio", "1.2", "--split", "load"], "ConfigError", "--split: not for transformers models"),
        (["--ratio", "1.2", "--heads", "2"], "ConfigError", "missing: --layers, --channels"),
        (["--ratio", "1.2", "--method", "luck"], "ConfigError", "unknown method 'luck'"),
        (["--ratio", "1.2", "--method", "cascade"], "ConfigError", "give --calibration FILE"),
        (["--ratio", "1.05", "--calibration", "nowhere.txt"], "DataError", "nowhere.txt"),
        (["--vocabulary", "nowhere.txt"], "DataError", "nowhere.txt"),
        (["--ratio", "1.2", "--precision", "int8"], "ConfigError", "--precision: goes with --memory-mib"),
        (["--memory-mib", "1", "--precision", "fp8"], "ConfigError", "allowed: fp32, fp16, bf16, int8, int4"),
        (["--memory-mib", "1", "--latency-ms", "3"], "ConfigError", "--latency-ms: not for transformers"),
    ],
)
def test_wrong_use_is_told_in_one_message(options, kind, said, llama, tmp_path, capfd):
    out = tmp_path / "cut"
    assert run(["prune", str(llama), *options, "--out", str(out), "--json"]) == 2
    told = capfd.readouterr()
    answer = json.loads(told.out)
    assert answer["kind"] == kind
    assert said in answer["error"]
    assert told.err == f"error: {answer['error']}\n"
    assert not out.exists()


def test_options_of_transformers_are_not_for_diagnosers(small_run, tmp_path, capfd):
    arguments = ["prune", str(small_run / "dense"), "--block-fraction", "0.2", "--uniform"]
    assert run([*arguments, "--out", str(tmp_path / "cut")]) == 2
    assert "--block-fraction, --uniform: not for Diagnosers" in capfd.readouterr().err


def test_recordings_calibrate_a_diagnoser_as_data_does(small_run, small_rig, tmp_path, capfd):
    arguments = ["prune", str(small_run / "dense"), "--ratio", "1.2", "--recovery-steps", "2"]
    arguments += ["--calibration", str(small_rig), "--data", str(small_rig), "--out", str(tmp_path / "cut")]
    assert run(arguments) == 2
    assert "give one of them" in capfd.readouterr().err
    assert run([argument for argument in arguments if argument not in ("--data",)][:-3] + arguments[-2:]) == 0
