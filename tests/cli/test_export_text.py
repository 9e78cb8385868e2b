"""``secateur export`` of causal language models: bundles, GGUF files, and wrong use."""

from __future__ import annotations

import json

import pytest

import tiny_tokenizers
from secateur.cli.app import run
from secateur.edge.generate import TextRuntime
from secateur.models import checkpoint
from tiny_causal_bundles import uneven_llama
from tiny_gguf import tiny_llama
from tiny_tokenizers import TEXT
from zoo import ZOO


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A cut checkpoint, a folder of transformers without a tokenizer, an encoder, and texts."""
    folder = tmp_path_factory.mktemp("models")
    model, plan = uneven_llama()
    checkpoint.save(model, folder / "cut", plan=plan, tokenizer=tiny_tokenizers.gpt2())
    tiny_llama(tied=True).save_pretrained(folder / "bare")
    next(entry for entry in ZOO if entry.name == "bert").build().save_pretrained(folder / "bert")
    (folder / "text.txt").write_text(TEXT[-4000:], encoding="utf-8")
    (folder / "short.txt").write_text("Too short.", encoding="utf-8")
    return folder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_a_cut_checkpoint_becomes_a_bundle_that_generates(models, out, capfd):
    assert run(["export", str(models / "cut"), "--out", str(out), "--text", str(models / "text.txt")]) == 0
    shown = capfd.readouterr().out
    for part in ("token by token", "128 of 128 tokens as the checkpoint's", "perplexity on 1,"):
        assert part in shown
    runtime = TextRuntime(out)
    manifest = runtime.manifest
    assert [layer.groups for layer in manifest.layers] == [1, 2]
    assert manifest.metrics.perplexity == pytest.approx(manifest.metrics.checkpoint_perplexity, rel=1e-4)
    assert manifest.lineage.plan_sha256 is not None
    assert len(runtime.generate([5, 6, 7], 4, end_tokens=()).tokens) == 4
    assert run(["bundle", "inspect", str(out)]) == 0
    told = capfd.readouterr().out
    for part in ("900 tokens; 64 positions", "tokenizer.json", "of the checkpoint"):
        assert part in told
    assert run(["bundle", "verify", str(out), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["golden_max_abs_diff"] <= 1e-3


def test_int8_tells_the_perplexity_before_and_after(models, out, capfd):
    command = ["export", str(models / "cut"), "--out", str(out), "--text", str(models / "text.txt")]
    assert run([*command, "--precision", "int8", "--json"]) == 0
    told = capfd.readouterr()
    assert told.err == ""
    answer = json.loads(told.out)
    assert answer["precision"] == "int8"
    assert answer["graph_bytes"]["bundle"] < answer["graph_bytes"]["float32"]
    metrics = answer["metrics"]
    assert metrics["predicted_tokens"] > 1000
    assert metrics["perplexity"] != metrics["checkpoint_perplexity"]
    assert metrics["perplexity"] == pytest.approx(metrics["checkpoint_perplexity"], rel=0.1)


def test_a_gguf_file_is_written_and_says_who_ran_it(models, out, capfd):
    pytest.importorskip("gguf")
    command = ["export", str(models / "cut"), "--format", "gguf", "--precision", "fp16", "--out", str(out)]
    assert run([*command, "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["architecture"] == "deci"
    assert (answer["verification"] is None) == (answer["unverified_because"] is not None)
    assert run(command) == 0
    shown = capfd.readouterr().out
    assert "architecture deci" in shown
    assert "run by llama.cpp" in shown or "not verified: llama.cpp is not installed" in shown


def test_a_model_without_a_tokenizer_is_written_without_one(models, out, capfd):
    pytest.importorskip("gguf")
    assert run(["export", str(models / "bare"), "--format", "gguf", "--out", str(out)]) == 0
    assert "not verified" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("cut", ["--format", "tflite"], "--format 'tflite'; choose onnx or openvino or gguf"),
        ("cut", ["--precision", "fp16"], "choose fp32 or bf16 or int8 or int4 for onnx"),
        ("cut", ["--precision", "int8"], "a language model in int8 is judged on a text; add --text FILE"),
        ("cut", ["--precision", "int4"], "a language model in int4 is judged on a text; add --text FILE"),
        ("cut", ["--data", "simulated", "--split", "load"], "--data, --split: not for a causal language"),
        ("cut", ["--precision", "int8", "--quantise", "static"], "leave it out for 8-bit weights in blocks"),
        (
            "cut",
            ["--format", "gguf", "--precision", "int8", "--quantise", "dynamic"],
            "needs --precision int8",
        ),
        ("cut", ["--format", "gguf", "--data", "simulated"], "--data: not for a GGUF file"),
        ("cut", ["--text", "missing.txt"], "missing.txt is not a file"),
        ("cut", ["--text", "short.txt"], "give at least 64"),
        ("bare", ["--text", "text.txt"], "bare has no tokenizer to read the text with"),
        ("bert", [], "BertForMaskedLM predicts no next token"),
        ("bert", ["--format", "gguf"], "BertForMaskedLM predicts no next token"),
        ("nowhere", ["--text", "text.txt"], "does not exist"),
    ],
)
def test_wrong_use_is_told_and_leaves_nothing(models, model, options, said, out, capfd, monkeypatch):
    monkeypatch.chdir(models)
    before = sorted(path.name for path in models.iterdir())
    code = run(["export", str(models / model), *options, "--out", str(out), "--json"])
    told = capfd.readouterr()
    assert code == 2
    assert said in json.loads(told.out)["error"]
    assert not list(out.parent.iterdir())
    assert sorted(path.name for path in models.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "gguf"], "--format gguf: not for a Diagnoser, which is exported as onnx"),
        (["--text", "text.txt"], "--text: not for a Diagnoser"),
    ],
)
def test_options_of_language_models_are_not_for_diagnosers(small_run, options, said, out, capfd):
    assert run(["export", str(small_run / "pruned"), *options, "--out", str(out), "--json"]) == 2
    assert said in json.loads(capfd.readouterr().out)["error"]
    assert not out.exists()
