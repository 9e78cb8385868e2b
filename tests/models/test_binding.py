"""Binding: live numbers, views on fused weights, refusal of what the specification does not describe."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import (
    DebertaConfig,
    DebertaModel,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
)

from secateur.core.errors import UnsupportedArchitecture
from secateur.models.binding import bind

SPECIAL = {"bos_token_id": None, "eos_token_id": None}


@pytest.fixture
def gpt2() -> GPT2Model:
    return GPT2Model(
        GPT2Config(n_layer=2, n_embd=32, n_head=4, n_inner=20, vocab_size=4, n_positions=8, **SPECIAL)
    )


@pytest.fixture
def llama() -> LlamaModel:
    return LlamaModel(
        LlamaConfig(
            num_hidden_layers=2,
            hidden_size=32,
            intermediate_size=20,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=4,
            **SPECIAL,
        )
    )


class Wrapped(nn.Module):
    """A front end and a head around a backbone, as in a Diagnoser."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.front_end = nn.Linear(5, 32)
        self.backbone = backbone
        self.head = nn.Linear(32, 3)


def test_shape_of_both_families(gpt2, llama):
    plain, gated = bind(gpt2).shape, bind(llama).shape
    assert (plain.n_layers, plain.hidden, plain.head_dim) == (2, 32, 8)
    assert plain.heads_per_layer == plain.kv_groups_per_layer == (4, 4)
    assert plain.biased_roles == ("q", "k", "v", "o", "up", "down")
    assert plain.other_parameters == 4 * 32 + 8 * 32 + 2 * 32
    assert (gated.heads_per_layer, gated.kv_groups_per_layer) == ((4, 4), (2, 2))
    assert gated.channels_per_layer == plain.channels_per_layer == (20, 20)
    assert gated.biased_roles == ()


def test_wrapped_backbone_counts_front_end_and_head(llama):
    bare = bind(llama)
    bound = bind(Wrapped(llama))
    assert bound.block_path(1) == "backbone.layers.1"
    assert bare.block_path(1) == "layers.1"
    assert bound.shape.other_parameters == bare.shape.other_parameters + 6 * 32 + 33 * 3


def test_causal_language_model_binds_its_base_model(gpt2):
    bound = bind(GPT2LMHeadModel(gpt2.config))
    assert bound.block_path(0) == "transformer.h.0"
    assert bound.shape == bind(gpt2).shape


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_output_projections_take_the_units(name, request):
    model = request.getfixturevalue(name)
    seen: dict[str, torch.Size] = {}
    layer = bind(model).layers[1]
    layer.output("group").register_forward_pre_hook(lambda _, inputs: seen.update(o=inputs[0].shape))
    layer.output("channel").register_forward_pre_hook(lambda _, inputs: seen.update(down=inputs[0].shape))
    model(inputs_embeds=torch.zeros(1, 3, 32))
    assert seen["o"][-1] == layer.n_heads * layer.head_dim == 32
    assert seen["down"][-1] == layer.n_channels == 20
    assert layer.group_slice(1) == slice(8 * layer.heads_per_group, 16 * layer.heads_per_group)


def test_role_weight_is_a_view_in_out_by_in_orientation(gpt2, llama):
    fused = bind(gpt2).layers[0]
    stored = fused.projections["k"].weight
    assert fused.projection("k").is_fused
    assert torch.equal(fused.role_weight("k"), stored[:, 32:64].T)
    with torch.no_grad():
        fused.role_weight("v").fill_(5.0)
    assert torch.equal(stored[:, 64:], torch.full((32, 32), 5.0))
    gated = bind(llama).layers[0]
    assert not gated.projection("k").is_fused
    assert gated.role_weight("k") is gated.projections["k"].weight
    assert set(gated.projections) == {"q", "k", "v", "o", "gate", "up", "down"}
    assert set(fused.projections) == {"q", "k", "v", "o", "up", "down"}


def test_unknown_models_are_refused():
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 8}
    unknown = DebertaModel(DebertaConfig(num_hidden_layers=1, vocab_size=4, **sizes))
    with pytest.raises(UnsupportedArchitecture, match=r"'deberta'; known: .*gpt2.*llama.*add_architecture"):
        bind(unknown)
    with pytest.raises(UnsupportedArchitecture, match="Linear is neither"):
        bind(nn.Linear(2, 2))


def test_blocks_with_other_weights_are_refused(llama):
    llama.layers[1].mlp.adapter = nn.Linear(2, 2)
    with pytest.raises(UnsupportedArchitecture, match=r"layer 1 .* not named \['mlp.adapter.bias'"):
        bind(llama)
