"""``secateur sia``: tables, JSON, files, and wrong use."""

from __future__ import annotations

import json

import pytest
from transformers import LlamaConfig

import tiny_tokenizers
from secateur.cli.app import run
from tiny_gguf import tiny_llama
from tiny_tokenizers import TEXT


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    tiny_llama(tied=True).save_pretrained(folder)
    tiny_tokenizers.gpt2().save_pretrained(folder)
    (folder / "text.txt").write_text(TEXT[-6000:], encoding="utf-8")
    return folder


@pytest.fixture
def shared_keys(tmp_path):
    """A configuration without weights."""
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=100,
    ).save_pretrained(tmp_path)
    return tmp_path


def test_structure_is_told_in_words_in_100_columns(shared_keys, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert run(["sia", str(shared_keys), "--ratio", "1.5"]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 100
    flat = " ".join(told.split())
    assert "one query head by itself is no unit: 2 query heads share one key and one value head" in flat
    assert "cut the whole KV group: one KV group g = key head g + value head g + query heads 2g..2g+1" in flat
    assert "or cut the same number of query heads in every group of a layer" in flat
    assert "row j of gate is multiplied with row j of up" in flat
    assert "Cut closed units only. Whether importance can be trusted was not measured." in flat


def test_json_is_the_record_and_nothing_else_is_printed(shared_keys, capsys):
    assert run(["sia", str(shared_keys), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    record = json.loads(told.out)
    assert record["measured"] is None
    assert [entry["granularity"] for entry in record["verdict"]["granularities"]] == [
        "layers",
        "heads",
        "channels",
    ]


def test_a_measured_check_tells_early_and_writes_its_folder(llama, tmp_path, capsys):
    out = tmp_path / "check"
    command = ["sia", str(llama), "--text", str(llama / "text.txt"), "--budget", "1.5", "--samples", "6"]
    assert run([*command, "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert told.err.index("structure: layers reliable") < told.err.index("measuring removals")
    assert f"page: {out / 'sia.html'}" in told.out
    record = json.loads((out / "sia.json").read_text())
    assert record["measured"]["n_samples"] == 6
    # the check of another command is replaced if that is asked for, anything else never
    assert run(["sia", str(llama), "--out", str(out), "--json"]) == 2
    assert run(["sia", str(llama), "--out", str(out), "--json", "--overwrite"]) == 0
    assert json.loads((out / "sia.json").read_text())["measured"] is None
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    assert run(["sia", str(llama), "--out", str(tmp_path / "mine")]) == 2
    assert (tmp_path / "mine" / "letter.txt").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--data", "simulated"], "--data: not for a transformers model"),
        (["--text", "none.txt"], "none.txt is not a file"),
        (["--budget", "0"], "--budget"),
        (["--ratio", "0.5"], "--ratio"),
    ],
)
def test_wrong_use_is_told(options, said, llama, capsys):
    assert run(["sia", str(llama), *options]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_diagnoser_takes_no_text(small_run, capsys):
    assert run(["sia", str(small_run / "dense"), "--text", "a.txt"]) == 2
    assert "--text: not for a Diagnoser" in capsys.readouterr().err


def test_a_diagnoser_without_measuring(small_run, capsys):
    assert run(["sia", str(small_run / "dense"), "--no-measure", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["measured"] is None
    assert record["structure"]["family"] == "gpt2"
