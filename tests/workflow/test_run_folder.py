"""What a finished run leaves behind, and that it says what is so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import secateur
from secateur.bundle.manifest import ChannelRecord, read_manifest
from secateur.core.records import JsonLines, read_json
from secateur.models.checkpoint import describe
from secateur.structure.plan_file import plan_from_json
from secateur.workflow.judge import judge_checkpoint

CHECKPOINT = {"config.json", "plan.json", "model.safetensors", "checksums.json"}
FIGURES = {
    "parameters",
    "accuracy",
    "macro_f1",
    "per_class_recall",
    "false_alarm_rate",
    "ece",
    "snr_curve",
}


def test_the_folder_holds_what_a_run_promises(small_run):
    found = {path.relative_to(small_run).as_posix() for path in small_run.rglob("*") if path.is_file()}
    assert found == {
        *(f"{model}/{name}" for model in ("dense", "pruned") for name in CHECKPOINT),
        *(f"bundle/{name}" for name in ("model.onnx", "manifest.json", "golden.npz")),
        "run.json",
        "sia.json",
        "records.jsonl",
        "result.json",
        "examples.npz",
        "report.html",
    }
    page = (small_run / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert 'src="http' not in page


def test_the_result_has_every_promised_key(small_result, small_settings):
    for model in ("dense", "pruned"):
        assert set(small_result[model]) >= FIGURES
        assert [point["snr_db"] for point in small_result[model]["snr_curve"]] == [0.0]
        assert set(small_result[model]["per_class_recall"]) == set(small_result["classes"])
    assert set(small_result["fidelity"]) == {"agreement", "kl"}
    assert set(small_result["fidelity_elsewhere"]) == {"agreement", "kl"}
    assert set(small_result["baselines"]) == {
        "envelope_rule",
        "random_forest",
        "fault_line_regression",
        "scratch",
    }
    for rival in small_result["baselines"].values():
        assert set(rival) >= FIGURES
    assert set(small_result["bytes"]) == {"dense", "pruned", "bundle"}
    assert set(small_result["versions"]) >= {"python", "torch", "transformers", "onnx"}
    assert len(small_result["data_sha256"]) == 64
    assert small_result["seed"] == small_settings.task.seed
    assert small_result["settings"] == small_settings.to_json()


def test_sizes_are_those_of_the_files_and_models(small_run, small_result):
    counts = {
        name: sum(parameter.numel() for parameter in secateur.load(small_run / name).parameters())
        for name in ("dense", "pruned")
    }
    assert {name: small_result[name]["parameters"] for name in counts} == counts
    assert small_result["ratio"] == counts["dense"] / counts["pruned"]
    assert small_result["ratio"] >= small_result["settings"]["cut"]["ratio"]
    assert small_result["baselines"]["scratch"]["parameters"] == counts["pruned"]
    assert small_result["bytes"] == {
        "dense": (small_run / "dense/model.safetensors").stat().st_size,
        "pruned": (small_run / "pruned/model.safetensors").stat().st_size,
        "bundle": sum(path.stat().st_size for path in (small_run / "bundle").iterdir()),
    }


def test_the_split_is_told_with_its_groups(small_result):
    split = small_result["split"]
    assert (split["protocol"], split["leaks"]) == ("fault_size:14", False)
    train, test = split["groups"]["train"], split["groups"]["test"]
    assert not set(train) & set(test)
    assert [group for group in test if "014" not in group and "_n_" not in group] == []
    assert set(split["groups"]["validation"]) <= set(train)


def test_stages_tell_figures_before_and_after_recovery(small_run, small_result):
    stages = small_result["stages"]
    assert stages == JsonLines(small_run / "records.jsonl").read()
    assert [stage["stage"] for stage in stages] == ["layers", "groups", "channels"]
    sizes = [stages[0]["before"]["parameters"]]
    for stage in stages:
        for moment in ("before", "after_cut", "after_refit", "after_recovery"):
            assert 0 <= stage[moment]["accuracy"] <= 1
        assert stage["before"]["parameters"] == sizes[-1]
        sizes.append(stage["after_recovery"]["parameters"])
    assert sizes == sorted(sizes, reverse=True)
    assert (sizes[0], sizes[-1]) == tuple(small_result[name]["parameters"] for name in ("dense", "pruned"))
    assert sum(stage["recovery_steps"] for stage in stages) == 12


def test_the_plan_leads_from_dense_to_pruned(small_run, small_result):
    plan = plan_from_json(read_json(small_run / "pruned/plan.json"))
    assert not plan.is_identity
    assert [layer.index for layer in plan.layers] == [
        kept["index"] for kept in small_result["stages"][-1]["kept"]
    ]
    assert plan_from_json(read_json(small_run / "dense/plan.json")).is_identity


def test_parity_is_proved_on_windows(small_run, small_result):
    assert 0 <= small_result["parity"]["max_abs_diff"] <= 1e-4
    assert small_result["parity"]["windows"] == 32
    manifest = read_json(small_run / "bundle/manifest.json")
    assert manifest["parity"] == small_result["parity"]
    assert manifest["lineage"]["data_sha256"] == small_result["data_sha256"]
    assert manifest["metrics"]["values"]["accuracy"] == small_result["pruned"]["accuracy"]


def test_judging_the_checkpoints_again_gives_the_same_figures(small_run, small_result):
    again = judge_checkpoint(small_run / "pruned", against=small_run / "dense", snr_curve_db=(0.0,))
    assert again["evaluation"] == small_result["pruned"]
    assert again["fidelity"] == pytest.approx(small_result["fidelity"])
    assert again["split"] == small_result["split"]
    assert again["data_sha256"] == small_result["data_sha256"]


def test_examples_are_test_windows_with_what_the_models_say(small_run, small_result):
    with np.load(small_run / "examples.npz") as examples:
        assert examples["classes"].tolist() == small_result["classes"]
        assert examples["label"].tolist() == [0, 1, 2, 3]
        assert examples["waveform"].shape == (4, 8192)
        np.testing.assert_allclose(examples["pruned_probabilities"].sum(axis=1), 1, rtol=1e-5)
        assert all("014" in name or "_n_" in name for name in examples["recording_id"])


def test_a_fresh_process_gets_the_model_that_was_in_memory(small_run):
    """The golden logits of the bundle were computed by the process that pruned."""
    program = f"""
import numpy, torch, secateur
model = secateur.load({str(small_run / "pruned")!r})
golden = numpy.load({str(small_run / "bundle/golden.npz")!r})
inputs = [torch.from_numpy(golden[name]) for name in ("waveform", "shaft_rate_hz", "fault_orders")]
with torch.no_grad():
    print(float((model(*inputs) - torch.from_numpy(golden["logits"])).abs().max()))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(answer.stdout) <= 1e-6


def test_checkpoints_know_their_task_and_seed(small_run, small_settings):
    for name in ("dense", "pruned"):
        metadata = describe(small_run / name).metadata
        assert metadata["task"]["split"] == small_settings.task.split
        assert metadata["task"]["seed"] == small_settings.task.seed
        assert metadata["protocol"] == "fault_size:14"


def test_the_result_is_strict_json(small_run):
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    for path in (*small_run.rglob("*.json"), small_run / "records.jsonl"):
        for line in [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines():
            json.loads(line, parse_constant=refuse)


def test_nothing_in_the_folder_is_a_pickle(small_run: Path):
    for path in small_run.rglob("*"):
        if path.is_file() and path.suffix != ".npz":
            assert path.read_bytes()[:2] not in (b"\x80\x04", b"\x80\x05", b"PK")


def test_the_bundle_names_the_channel_that_was_trained_on(small_run: Path) -> None:
    assert read_manifest(small_run / "bundle").channel == ChannelRecord(name="0")
