"""Inspection: figures equal those of live models, read from configuration and file headers alone."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig

from secateur.core.errors import CheckpointError, ConfigError, UnsupportedArchitecture
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.presets import build_preset
from secateur.models.stock import stock_twin
from secateur.structure.limits import plain_cuts
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from secateur.workflow.inspection import inspect_model
from secateur.workflow.outline import outline_of
from zoo import ZOO

CONTEXT = 16


def tiny_llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=24,
        intermediate_size=20,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        vocab_size=50,
        attention_bias=True,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config)


def tiny_gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(n_embd=12, n_layer=2, n_head=3, vocab_size=40, n_positions=32))


@pytest.fixture(params=[tiny_llama, tiny_gpt2], ids=["llama", "gpt2"])
def live(request):
    return request.param()


@pytest.fixture
def inspected(live, tmp_path):
    live.save_pretrained(tmp_path)
    return inspect_model(outline_of(tmp_path), context_tokens=CONTEXT)


def n_parameters(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_parameters_equal_live_counts(live, inspected):
    assert inspected.parameters == n_parameters(live)
    assert [layer.parameters for layer in inspected.layers] == [
        n_parameters(b.module) for b in bind(live).layers
    ]
    assert sum(inspected.outside.values()) == n_parameters(live) - inspected.block_parameters
    assert inspected.model_class == type(live).__name__


def test_units_are_worth_what_leaves_with_them(live, inspected):
    shape, family = bind(live).shape, inspected.family
    whole = PruningPlan.identity(family, shape)
    groups, channels = shape.kv_groups_per_layer[1], shape.channels_per_layer[1]
    cuts = {
        "group": whole.with_groups(1, range(1, groups)),
        "channel": whole.with_channels(1, range(1, channels)),
    }
    if "head" in inspected.layers[1].units:
        cuts["head"] = whole.with_heads(1, [range(1, shape.heads_per_group(1))] * groups)
    assert set(cuts) == set(inspected.layers[1].units)
    for kind, plan in cuts.items():
        lost = n_parameters(live) - n_parameters(apply(deepcopy(live), plan))
        removed = groups if kind == "head" else 1
        assert lost == removed * inspected.layers[1].units[kind].parameters, kind


def test_operations_equal_counted_ones(live, inspected):
    tokens = torch.zeros(1, CONTEXT, dtype=torch.long)
    live.set_attn_implementation("eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        live.eval()(tokens, use_cache=False)
    expected = inspected.flops_per_token + inspected.head_flops_per_token
    assert counter.get_total_flops() == CONTEXT * expected

    # every operation belongs to a unit
    for layer in inspected.layers:
        whole = sum(
            layer.units[kind].count * layer.units[kind].flops_per_token for kind in ("group", "channel")
        )
        assert whole == layer.flops_per_token


def test_configuration_alone_is_enough(live, inspected, tmp_path):
    (tmp_path / "model.safetensors").unlink()
    assert inspect_model(outline_of(tmp_path), context_tokens=CONTEXT) == replace(inspected, stored=None)


def test_stored_weights_and_ties(tmp_path):
    tiny_gpt2().save_pretrained(tmp_path)
    found = inspect_model(outline_of(tmp_path), context_tokens=CONTEXT)
    assert found.tied == (("transformer.wte.weight", "lm_head.weight"),)
    assert found.vocabulary_parameters == 40 * 12
    assert found.stored.files == ("model.safetensors",)
    assert found.stored.parameters == found.parameters
    assert found.stored.dtypes == {"F32": found.parameters}
    assert found.stored.bytes == (tmp_path / "model.safetensors").stat().st_size
    assert inspect_model(outline_of(tmp_path), context_tokens=1, layer=1).layers[0].index == 1


def test_untied_head_counts_twice_in_the_vocabulary(tmp_path):
    tiny_llama().save_pretrained(tmp_path)
    found = inspect_model(outline_of(tmp_path), context_tokens=CONTEXT)
    assert found.tied == ()
    assert found.vocabulary_parameters == 2 * 50 * 24


def test_missing_shard_is_told_and_a_cut_one_refused(tmp_path):
    tiny_llama().save_pretrained(tmp_path, max_shard_size="20KB")
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 2
    shards[1].unlink()
    assert outline_of(tmp_path).stored.missing == (shards[1].name,)
    shards[0].write_bytes(shards[0].read_bytes()[:-8])
    with pytest.raises(CheckpointError, match=shards[0].name):
        outline_of(tmp_path)


def test_weights_of_another_model_are_refused(tmp_path):
    tiny_llama().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    name = "model.layers.1.mlp.down_proj.weight"
    tensors[name] = tensors[name][:, 1:].contiguous()
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"layers\.1\.mlp\.down_proj.*\(24, 19\).*\(24, 20\)"):
        outline_of(tmp_path)


def test_cut_diagnoser_tells_each_layer(tmp_path):
    dense = build_preset("nano-gqa", classes=("normal", "ball"), sampling_rate_hz=12_000.0)
    bound = bind(dense)
    plan = PruningPlan.identity(bound.spec.family, bound.shape).with_channels(0, range(3))
    cut = apply(dense, plan)
    checkpoint.save(cut, tmp_path / "cut", plan=plan)
    found = inspect_model(outline_of(tmp_path / "cut"), context_tokens=CONTEXT)
    assert found.parameters == n_parameters(cut)
    assert found.layers[0].channels == 3
    assert found.layers[0].channels != found.layers[1].channels
    assert found.coupled[0].layers == (0,)
    assert found.plain_cuts == ()
    assert found.origin == "secateur checkpoint, cut"
    assert any(name.startswith("front_end") for name in found.outside)


@pytest.mark.parametrize("uniform", [True, False])
def test_cut_language_model_is_told_as_it_was_saved(tmp_path, uniform):
    dense = tiny_llama()
    plan = PruningPlan.identity("llama", bind(dense).shape).without_layers([1])
    for layer in (0, 2) if uniform else (0,):
        plan = plan.with_groups(layer, [1]).with_channels(layer, range(7))
    cut = apply(dense, plan)
    checkpoint.save(cut, tmp_path / "cut", plan=plan)
    found = inspect_model(outline_of(tmp_path / "cut"), context_tokens=CONTEXT)
    assert found.origin == "secateur checkpoint, cut"
    assert found.model_class == "LlamaForCausalLM"
    assert [layer.channels for layer in found.layers] == ([7, 7] if uniform else [7, 20])
    assert found.parameters == n_parameters(cut) == found.stored.parameters


@pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name)
def test_every_family_is_counted_as_it_is(specimen, tmp_path):
    live = specimen.build()
    live.config.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**content, "architectures": [specimen.model]}))
    found = inspect_model(outline_of(tmp_path), context_tokens=CONTEXT)
    assert found.family == specimen.family
    assert found.parameters == n_parameters(live)
    assert sum(found.outside.values()) == found.shape.other_parameters
    assert [layer.parameters for layer in found.layers] == [n_parameters(b.module) for b in bind(live).layers]
    for layer in found.layers:
        if layer.kv_groups > 1:
            plan = PruningPlan.identity(found.family, found.shape).with_groups(layer.index, [0])
            lost = (layer.kv_groups - 1) * layer.units["group"].parameters
            assert n_parameters(apply(deepcopy(live), plan)) == found.parameters - lost


# its configuration builds head norms of hidden / heads, whatever the width of a head
UNUSUAL = {"phi_qk_norm"}


@pytest.mark.parametrize("specimen", [s for s in ZOO if s.name not in UNUSUAL], ids=lambda s: s.name)
def test_cuts_that_are_said_to_be_plain_are(specimen):
    live = specimen.build()
    bound = bind(live)
    plans = {"layers": PruningPlan.identity(bound.spec.family, bound.shape).without_layers([1])}
    whole = PruningPlan.identity(bound.spec.family, bound.shape)
    groups = "groups" if bound.shape.shares_keys else "heads"
    for layer in whole.layers:
        sharing = bound.shape.heads_per_group(layer.index)
        if len(layer.groups) > 1:
            plans[groups] = plans.get(groups, whole).with_groups(layer.index, layer.groups[1:])
        if sharing > 1:
            fewer = [range(1, sharing)] * len(layer.groups)
            plans["heads"] = plans.get("heads", whole).with_heads(layer.index, fewer)
        channels = [c for own in bound.shape.channels_of_experts(layer.index) for c in own[-8:]]
        plans["channels"] = plans.get("channels", whole).with_channels(layer.index, channels)
    plain = {kind for kind, plan in plans.items() if stock_twin(apply(deepcopy(live), plan)) is not None}
    assert plain == set(plain_cuts(bound.spec)) & set(plans)


def test_sliding_windows_bound_the_context(tmp_path):
    config = MistralConfig(sliding_window=8, hidden_size=24, num_attention_heads=2, num_key_value_heads=1)
    config.save_pretrained(tmp_path)
    found = inspect_model(outline_of(tmp_path), context_tokens=CONTEXT)
    assert {(layer.attention, layer.context_tokens) for layer in found.layers} == {("sliding_attention", 8)}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ('{"model_type": "brontosaurus"}', UnsupportedArchitecture, "'brontosaurus'.*one JSON file"),
        ('{"model_type": "mamba"}', UnsupportedArchitecture, "'mamba'.*docs/add_architecture.md"),
        (
            '{"model_type": "llava", "text_config": {"model_type": "llama"}}',
            UnsupportedArchitecture,
            "'llava'.*language model of type 'llama' beside.*save that alone",
        ),
        ('{"model_type": "llama", "num_hidden_layers": 0}', UnsupportedArchitecture, "has no layers"),
        ('{"hidden_size": 8}', ConfigError, "model_type"),
        ('{"model_type": ', CheckpointError, "not valid JSON"),
        ('{"model_type": "llama", "hidden_size": "wide"}', ConfigError, "transformers refuses"),
        ('{"model_type": "gpt2", "n_embd": 10, "n_head": 3}', ConfigError, "cannot build a GPT2"),
    ],
)
def test_unusable_configurations_say_why(content, error, message, tmp_path):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(error, match=message):
        inspect_model(outline_of(tmp_path), context_tokens=CONTEXT)


def test_an_adapter_is_told_as_one(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds an adapter"):
        outline_of(tmp_path)


def test_what_is_no_model_says_what_is(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json"):
        outline_of(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        outline_of(str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="layers 0 to 1"):
        tiny_gpt2().save_pretrained(tmp_path)
        inspect_model(outline_of(tmp_path), context_tokens=1, layer=2)
