"""``secateur evaluate`` on models of others: tables, JSON, and wrong use."""

from __future__ import annotations

import json

import pytest

import tiny_tokenizers
from secateur.cli.app import run
from tiny_gguf import tiny_llama
from tiny_tokenizers import TEXT
from zoo import ZOO


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny_llama(tied=True).save_pretrained(folder / "llama")
    tiny_tokenizers.gpt2().save_pretrained(folder / "llama")
    tokenizer = tiny_tokenizers.bert()
    bert = next(entry for entry in ZOO if entry.name == "bert").build(vocab_size=len(tokenizer))
    bert.save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    (folder / "text.txt").write_text(TEXT[-4000:], encoding="utf-8")
    return folder


def test_perplexity_and_ratio(models, capfd):
    llama, text = str(models / "llama"), str(models / "text.txt")
    windows = ["--context", "48", "--stride", "24"]
    assert run(["evaluate", llama, "--text", text, *windows, "--against", llama, "--json"]) == 0
    told = capfd.readouterr()
    assert told.err == ""
    answer = json.loads(told.out)
    assert answer["ratio"] == 1
    assert (answer["context"], answer["stride"]) == (48, 24)
    assert "window_nats" not in told.out
    assert run(["evaluate", llama, "--text", text, "--against", llama]) == 0
    shown = capfd.readouterr().out
    for part in ("perplexity", "bits per byte", "against", "perplexity 1.000 times the other's"):
        assert part in shown


def test_pairs(models, capfd):
    bert = str(models / "bert")
    assert run(["evaluate", bert, "--pairs", "--against", bert, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["fidelity"] == pytest.approx(1, abs=1e-6)
    assert run(["evaluate", bert, "--pairs"]) == 0
    assert "separation (AUC)" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("llama", [], "give --text FILE for a causal language model, or --pairs"),
        ("llama", ["--text", "text.txt", "--pairs"], "give --text FILE"),
        ("llama", ["--pairs"], "give --text FILE"),
        ("bert", ["--text", "text.txt"], "judge an encoder by --pairs"),
        ("bert", ["--pairs", "--context", "32"], "--context: not for --pairs"),
        ("bert", ["--pairs", "--stride", "32"], "--stride: not for --pairs"),
        ("llama", ["--text", "text.txt", "--split", "load"], "--split: not for a transformers model"),
        ("llama", ["--text", "text.txt", "--snr", "0"], "--snr: not for a transformers model"),
        ("llama", ["--text", "nowhere.txt"], "is not a file"),
        ("llama", ["--text", "text.txt", "--context", "999"], "has 64 positions"),
        ("llama", ["--text", "text.txt", "--context", "32", "--stride", "40"], "--stride 40"),
        ("nowhere", ["--text", "text.txt"], "does not exist"),
    ],
)
def test_wrong_use(models, model, options, said, capfd):
    options = [str(models / option) if option.endswith(".txt") else option for option in options]
    assert run(["evaluate", str(models / model), *options, "--json"]) == 2
    assert said in json.loads(capfd.readouterr().out)["error"]


def test_a_diagnoser_is_not_judged_on_text(small_run, models, capfd):
    arguments = ["evaluate", str(small_run / "dense"), "--text", str(models / "text.txt"), "--json"]
    assert run(arguments) == 2
    assert "--text: not for a Diagnoser" in json.loads(capfd.readouterr().out)["error"]
