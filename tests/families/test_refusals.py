"""What no specification describes is refused with what was looked for, never cut on a guess."""

from __future__ import annotations

import pytest
import torch
import transformers

from secateur.core.errors import UnsupportedArchitecture
from secateur.models.binding import bind
from zoo import ZOO

SPECIMENS = {specimen.name: specimen for specimen in ZOO}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("cohere", {"use_qk_norm": True}, r"not named \['self_attn.k_norm.weight'"),
        ("stablelm", {"qk_layernorm": True}, r"not named \['self_attn.k_layernorm.norms.0.weight'"),
        ("bert", {"is_decoder": True, "add_cross_attention": True}, r"not named \['crossattention"),
        ("roberta", {"is_decoder": True, "add_cross_attention": True}, r"not named \['crossattention"),
        ("gpt2", {"add_cross_attention": True}, r"not named \['crossattention"),
        ("opt", {"layer_norm_elementwise_affine": False}, r"missing \['final_layer_norm"),
        ("opt_post", {"layer_norm_elementwise_affine": False}, r"missing \['final_layer_norm"),
        ("qwen3_moe", {"mlp_only_layers": [1]}, r"'qwen3_moe', but .* not there .*no attribute 'experts'"),
        ("deberta_v3", {"share_att_key": False}, r"'deberta-v2' with {'share_att_key': False, "),
        ("deberta_v3", {"conv_kernel_size": 3}, r"'conv_kernel_size': 3}; known: "),
        ("modernbert", {"norm_bias": True}, r"'modernbert' with {'norm_bias': True}"),
        (
            "bloom",
            {"apply_residual_connection_post_layernorm": True},
            r"'bloom' with {'apply_residual_connection_post_layernorm': True}.*add_architecture",
        ),
    ],
)
def test_variants_that_a_family_does_not_describe(name, changes, message):
    with pytest.raises(UnsupportedArchitecture, match=message):
        bind(SPECIMENS[name].build(**changes))


@pytest.mark.parametrize(
    ("stem", "settings"),
    [
        ("T5", {"num_layers": 1, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_heads": 2}),
        ("Mamba", {"state_size": 4}),
    ],
)
def test_families_without_a_specification(stem, settings):
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    size = {"intermediate_size": 8, "vocab_size": 7, "pad_token_id": 0}
    values = {**size, **settings} if stem == "T5" else {**small, **size, **settings}
    config = getattr(transformers, f"{stem}Config")(**values)
    with torch.device("meta"):
        model = getattr(transformers, f"{stem}Model")(config)
    known = r"known: apertus, arcee, bart, bert, .*whisper.*one JSON file.*docs/add_architecture.md"
    with pytest.raises(UnsupportedArchitecture, match=f"'{config.model_type}'; {known}"):
        bind(model)
