"""Plain folders in the words of transformers 4: known answers, checked once against transformers 4.57."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

import tiny_tokenizers
from secateur.models import checkpoint
from secateur.models.older_readers import older_rope
from tiny_gguf import tiny_llama
from zoo import ZOO

LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LINEAR = {"rope_type": "linear", "rope_theta": 5e5, "factor": 2.0}
FAR, NEAR = {"rope_type": "default", "rope_theta": 5e5}, {"rope_type": "default", "rope_theta": 1e4}


def specimen(name):
    return next(entry for entry in ZOO if entry.name == name)


@pytest.mark.parametrize(
    ("family", "rope", "expected"),
    [
        ("llama", FAR, {"rope_theta": 5e5}),
        (
            "llama",
            {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3},
            {
                "rope_theta": 5e5,
                "rope_scaling": {"rope_type": "llama3", "type": "llama3", **LLAMA3},
            },
        ),
        ("glm", {**FAR, "partial_rotary_factor": 0.5}, {"rope_theta": 5e5, "partial_rotary_factor": 0.5}),
        ("gpt_neox", {**FAR, "partial_rotary_factor": 0.5}, {"rotary_emb_base": 5e5, "rotary_pct": 0.5}),
        (
            "phi3",
            {
                "rope_type": "longrope",
                "rope_theta": 1e4,
                "short_factor": [1.0],
                "long_factor": [4.0],
                "original_max_position_embeddings": 32,
                "factor": 4.0,
            },
            {
                "rope_theta": 1e4,
                "original_max_position_embeddings": 32,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [4.0]},
            },
        ),
        (
            "gemma3_text",
            {"full_attention": FAR, "sliding_attention": NEAR},
            {"rope_theta": 5e5, "rope_local_base_freq": 1e4},
        ),
        ("olmo3", {"full_attention": FAR, "sliding_attention": FAR}, {"rope_theta": 5e5}),
        ("olmo3", {"full_attention": FAR, "sliding_attention": NEAR}, None),
        ("gpt2", None, {}),
    ],
)
def test_rotary_positions_in_the_words_of_version_4(family, rope, expected):
    assert older_rope({"model_type": family, "rope_parameters": rope}) == expected


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("llama", {"rope_parameters": FAR}, {"rope_theta": 5e5, "torch_dtype": "float32"}),
        ("qwen2", {"rope_parameters": FAR}, {"rope_theta": 5e5}),
        ("gemma", {"rope_parameters": FAR}, {"rope_theta": 5e5}),
        (
            "gemma3",
            {"rope_parameters": {"full_attention": FAR, "sliding_attention": NEAR}},
            {"rope_theta": 5e5, "rope_local_base_freq": 1e4},
        ),
        (
            "phi3",
            {
                "original_max_position_embeddings": 32,
                "rope_parameters": {
                    "rope_type": "longrope",
                    "rope_theta": 1e4,
                    "short_factor": [1.0] * 4,
                    "long_factor": [4.0] * 4,
                },
            },
            {"original_max_position_embeddings": 32, "rope_theta": 1e4},
        ),
        (
            "modernbert",
            {
                "rope_parameters": {"full_attention": FAR, "sliding_attention": NEAR},
                "global_attn_every_n_layers": 3,
            },
            {"global_rope_theta": 5e5, "local_rope_theta": 1e4, "global_attn_every_n_layers": 3},
        ),
        (
            "modernbert_decoder",
            {"rope_parameters": {"full_attention": FAR, "sliding_attention": FAR}},
            {"global_rope_theta": 5e5},
        ),
        ("gpt2", {}, {"torch_dtype": "float32"}),
    ],
)
def test_a_plain_folder_tells_both_versions_the_same(name, changes, told, tmp_path):
    model = specimen(name).build(**changes)
    model.config.auto_map = {"AutoModel": "evil.Evil"}
    checkpoint.save(model, tmp_path / "saved")
    values = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert values.items() >= told.items()
    assert "auto_map" not in values
    assert "transformers 5" not in checkpoint.describe(tmp_path / "saved").loads_with[0]
    read = AutoConfig.from_pretrained(tmp_path / "saved")
    assert getattr(read, "rope_parameters", None) == getattr(model.config, "rope_parameters", None) or (
        name == "phi3" and read.rope_parameters.items() >= model.config.rope_parameters.items()
    )


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("olmo3", {"rope_parameters": {"full_attention": FAR, "sliding_attention": NEAR}}),
        ("modernbert", {"layer_types": ["full_attention", "sliding_attention", "sliding_attention"][::-1]}),
        ("modernbert_decoder", {"rope_parameters": {"full_attention": FAR, "sliding_attention": NEAR}}),
        ("modernbert", {"rope_parameters": {"full_attention": LINEAR, "sliding_attention": NEAR}}),
    ],
)
def test_what_version_4_cannot_be_told_is_said(name, changes, tmp_path):
    model = specimen(name).build(**changes)
    checkpoint.save(model, tmp_path / "saved")
    assert checkpoint.describe(tmp_path / "saved").loads_with[0].endswith("of transformers 5 or newer")
    batch = specimen(name).batch()
    with torch.no_grad():
        assert torch.equal(checkpoint.load(tmp_path / "saved")(**batch)[0], model(**batch)[0])


@pytest.mark.parametrize("name", ["framed", "mbart", "bert"])
def test_a_tokenizer_has_names_that_both_versions_know(name, tmp_path):
    tokenizer = tiny_tokenizers.KINDS[name]()
    tokenizer.init_kwargs["auto_map"] = {"AutoTokenizer": ["evil.Evil", None]}
    model = tiny_llama(tied=True)
    model.resize_token_embeddings(len(tokenizer))
    checkpoint.save(model, tmp_path / "saved", tokenizer=tokenizer)
    settings = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] != "TokenizersBackend"
    assert not {"extra_special_tokens", "auto_map"} & set(settings)
    read = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert read.get_vocab() == tokenizer.get_vocab()
    assert read.all_special_tokens == tokenizer.all_special_tokens
