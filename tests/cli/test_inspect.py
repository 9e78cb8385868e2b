"""``secateur inspect``: what it prints fits the screen, and what it writes as JSON is whole."""

from __future__ import annotations

import json

import pytest
from transformers import GPT2Config, LlamaConfig, Olmo2Config, WhisperConfig

from secateur.cli.app import run


@pytest.fixture
def smol(tmp_path):
    """Configuration of SmolLM2-135M, without weights."""
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        vocab_size=49152,
        tie_word_embeddings=True,
    ).save_pretrained(tmp_path)
    return tmp_path


def test_it_shows_what_a_person_asks_for_in_100_columns(smol, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    assert run(["inspect", str(smol)]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 100
    assert "…" not in told
    flat = " ".join(told.split())
    assert "LlamaForCausalLM (transformers folder), family llama: 135 M parameters, 106 M of them" in flat
    assert "│ 0–29 │ full │ 9 │ 3 │ 3 │ 1536 │ 3.54 M │" in flat
    assert (
        "one KV group g = key head g + value head g + query heads 3g..3g+2: rows 192g..192g+191 of q_proj"
        in flat
    )
    assert "one channel j: row j of gate_proj and up_proj; column j of down_proj" in flat
    assert "tied: model.embed_tokens.weight = lm_head.weight" in flat
    assert "49152 tokens, 28.3 M parameters (21.0 % of the model)" in flat
    assert "│ hidden width │ no │" in flat
    assert "largest reachable ratio: 4.70×" in flat
    assert "a plain transformers folder after cuts of layers, heads, groups, channels" in flat


def test_json_holds_everything_and_nothing_else_is_printed(smol, capsys):
    assert run(["inspect", str(smol), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    facts = json.loads(told.out)
    assert facts["parameters"] == 134_515_008
    assert len(facts["layers"]) == 30
    assert facts["layers"][7]["index"] == 7
    assert facts["layers"][7]["units"]["group"] == {
        "count": 3,
        "parameters": 576 * 64 * (3 + 1 + 1 + 3),
        "flops_per_token": 2 * 576 * 64 * 8 + 4 * 3 * 64 * 512,
    }
    assert facts["layers"][7]["units"]["channel"]["flops_per_token"] == 2 * 3 * 576
    assert facts["coupled"][0]["layers"] == list(range(30))
    assert facts["coupled"][0]["couplings"][2]["statement"].startswith("one channel j: row j of gate_proj")
    assert facts["outside"] == {"model.embed_tokens": 49152 * 576, "model.norm": 576}
    assert facts["stored"] is None
    assert {entry["part"]: entry["cuttable"] for entry in facts["limits"]}["KV groups"] is True


def test_one_layer_and_another_context(smol, capsys):
    assert run(["inspect", str(smol), "--layer", "4", "--context", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [layer["index"] for layer in facts["layers"]] == [4]
    assert facts["layers"][0]["units"]["group"]["flops_per_token"] == 2 * 576 * 64 * 8 + 4 * 3 * 64
    assert facts["shape"]["n_layers"] == 30

    assert run(["inspect", str(smol), "--layer", "30"]) == 2
    assert "there is no layer 30; the model has the layers 0 to 29" in capsys.readouterr().err


def test_heads_of_multi_head_attention_are_called_heads(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    GPT2Config(n_layer=2, n_embd=12, n_head=3).save_pretrained(tmp_path)
    assert run(["inspect", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "attention head " in told
    assert "KV group with" not in told


def test_cross_attention_fits_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    WhisperConfig(encoder_layers=2, decoder_layers=3).save_pretrained(tmp_path)
    assert run(["inspect", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "…" not in told
    assert max(map(len, told.splitlines())) <= 100
    assert "cross-attention group" in told
    assert "each stack keeps at least one" in told


def test_norms_over_all_heads_are_told(tmp_path, capsys):
    Olmo2Config(num_hidden_layers=1, hidden_size=32, num_attention_heads=4).save_pretrained(tmp_path)
    assert run(["inspect", str(tmp_path)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "entries 8g..8g+7 of q_norm" in told
    assert "q_norm takes its statistics over all heads" in told


def test_an_unknown_family_exits_2_and_says_how_to_add_it(tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"model_type": "brontosaurus"}')
    assert run(["inspect", str(tmp_path), "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["kind"] == "UnsupportedArchitecture"
    assert "no specification describes models of type 'brontosaurus'" in answer["error"]
    assert "one JSON file" in answer["error"]


def test_what_is_no_folder_exits_2(tmp_path, capsys):
    assert run(["inspect", str(tmp_path / "nowhere")]) == 2
    assert "does not exist" in capsys.readouterr().err
