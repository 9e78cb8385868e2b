"""A model's folder holds what is read: each tensor has its place, is harmless, or is refused by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny_tokenizers
from secateur.core.errors import CheckpointError, ConfigError, SecateurError, UnsupportedArchitecture
from secateur.core.progress import quiet
from secateur.models.pretrained import open_pretrained
from secateur.workflow.streaming.source import open_streamed
from tiny_gguf import tiny_llama
from zoo import ZOO

Tensors = dict[str, torch.Tensor]
OPENERS: dict[str, Callable[[Path], Any]] = {"in memory": open_pretrained, "streamed": open_streamed}


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny_llama(tied=True).save_pretrained(root / "tied")
    tiny_llama(tied=False).save_pretrained(root / "untied")
    for name in ("gpt2", "gpt_neox", "bert"):
        next(specimen for specimen in ZOO if specimen.name == name).build().save_pretrained(root / name)
    return root


@pytest.fixture(params=OPENERS)
def opening(request) -> Callable[[Path], Any]:
    return OPENERS[request.param]


@pytest.fixture
def copy(models, tmp_path) -> Callable[..., Path]:
    def made(name: str, change: Callable[[Tensors], Any] | None = None, **config: Any) -> Path:
        folder = shutil.copytree(models / name, tmp_path / name)
        if change is not None:
            tensors = load_file(folder / "model.safetensors")
            change(tensors)
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        path = folder / "config.json"
        values = json.loads(path.read_text()) | config
        path.write_text(json.dumps({name: value for name, value in values.items() if value != "absent"}))
        return folder

    return made


def adding(name: str, tensor: torch.Tensor) -> Callable[[Tensors], Any]:
    return lambda tensors: tensors.update({name: tensor})


EMBEDDING = "model.embed_tokens.weight"


def test_a_head_stored_beside_a_tied_embedding_must_be_the_same(opening, copy):
    folder = copy("tied", lambda tensors: tensors.update({"lm_head.weight": tensors[EMBEDDING].clone()}))
    model = opening(folder).model
    assert model.lm_head.weight is model.model.embed_tokens.weight
    shutil.rmtree(folder)
    folder = copy("tied", lambda tensors: tensors.update({"lm_head.weight": tensors[EMBEDDING] + 1e-3}))
    with pytest.raises(CheckpointError, match=r"embed_tokens.weight' and 'lm_head.weight' are one .*tie_"):
        opening(folder)


def test_a_head_that_the_configuration_unties_is_read(opening, copy):
    folder = copy(
        "tied",
        lambda tensors: tensors.update({"lm_head.weight": tensors[EMBEDDING] + 1e-3}),
        tie_word_embeddings=False,
    )
    model = opening(folder).model
    assert model.lm_head.weight is not model.model.embed_tokens.weight


@pytest.mark.parametrize(
    ("name", "config", "named"),
    [
        ("tied", {"num_hidden_layers": 1}, r"layers\.1\..*fewer than there are"),
        ("untied", {"architectures": "absent"}, r"lm_head\.weight.*'architectures'.*names? the class"),
        ("untied", {"architectures": ["LlamaModel"]}, r"lm_head\.weight"),
        ("untied", {"architectures": []}, r"lm_head\.weight"),
        ("tied", {"architectures": "absent"}, r"names no class.*model with a head"),
        ("tied", {"architectures": ["Of a folder"]}, r"names no class.*model with a head"),
        ("gpt2", {"architectures": None}, r"names no class.*begin with 'transformer\.'"),
        ("bert", {"architectures": ["BertForSequenceClassification"]}, r"cls\.predictions"),
    ],
)
def test_a_configuration_of_less_is_refused(name, config, named, opening, copy):
    with pytest.raises(CheckpointError, match=named):
        opening(copy(name, **config))


@pytest.mark.parametrize(
    ("name", "shape", "named"),
    [
        ("v_head.summary.weight", (1, 32), "value head"),
        ("model.layers.0.self_attn.q_proj.lora_A.default.weight", (4, 32), "merge it first"),
        ("base_model.model.lm_head.lora_B.weight", (4, 4), "merge it first"),
        ("model.layers.0.self_attn.q_proj.bias", (32,), "fewer than there are, or others"),
        ("model.layers.0.self_attn.bias", (32,), "fewer than there are, or others"),
        ("something.else", (3,), "save the model without them"),
    ],
)
def test_a_tensor_without_a_place_is_refused_by_name(name, shape, named, opening, copy):
    with pytest.raises(CheckpointError, match=rf"(?s){name}.*{named}"):
        opening(copy("tied", adding(name, torch.zeros(shape))))


@pytest.mark.parametrize(
    ("model", "name", "tensor"),
    [
        ("tied", "model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(4)),
        ("gpt2", "transformer.h.0.attn.bias", torch.ones(1, 1, 64, 64)),
        ("gpt2", "transformer.h.0.attn.masked_bias", torch.tensor(-1e4)),
        ("gpt_neox", "gpt_neox.layers.1.attention.masked_bias", torch.tensor(-1e9)),
        ("bert", "bert.embeddings.position_ids", torch.arange(64)[None]),
        ("bert", "bert.pooler.dense.weight", torch.ones(32, 32)),
        ("bert", "cls.seq_relationship.bias", torch.ones(2)),
    ],
)
def test_what_is_computed_anyway_is_harmless(model, name, tensor, opening, copy):
    folder = copy(model, adding(name, tensor))
    expected = load_file(folder / "model.safetensors")
    opened = opening(folder)
    assert not set(opened.model.state_dict()) & {name}
    if opening is open_streamed:
        assert opened.ignored == (name,)
        assert {stored.name for stored in opened.tensors.values()} <= set(expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_numbers_that_are_not_finite_are_named(value, dtype, opening, copy):
    def spoil(tensors: Tensors) -> None:
        for name in tensors:
            tensors[name] = tensors[name].to(dtype)
        tensors["model.layers.1.mlp.down_proj.weight"][3, 5] = value

    with pytest.raises(CheckpointError, match=r"'model\.layers\.1\.mlp\.down_proj\.weight'.*not finite"):
        opening(copy("tied", spoil))


SCALES = [
    "model.layers.0.mlp.up_proj.qweight",  # GPTQ, AWQ
    "model.layers.0.mlp.up_proj.weight_scale",  # compressed-tensors
    "model.layers.0.mlp.up_proj.weight_scale_inv",  # fp8 in blocks
    "model.layers.0.mlp.up_proj.weight.absmax",  # bitsandbytes, 4 bits
    "model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4",
    "model.layers.0.mlp.up_proj.SCB",  # bitsandbytes, 8 bits
]


@pytest.mark.parametrize("name", SCALES)
def test_scales_of_quantised_weights_are_told(name, opening, copy):
    with pytest.raises(UnsupportedArchitecture, match="quantised weights"):
        opening(copy("tied", adding(name, torch.ones(3))))


@pytest.mark.parametrize(
    "method",
    [
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "gptq", "bits": 4},
        {"quant_method": "awq", "bits": 4},
        {"quant_method": "compressed-tensors"},
        {"quant_method": "fp8"},
        {"quant_method": "unheard-of"},
    ],
)
def test_a_quantised_configuration_is_told(method, opening, copy):
    with pytest.raises(UnsupportedArchitecture, match=rf"quantised by '{method['quant_method']}'"):
        opening(copy("tied", quantization_config=method))


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_codes_in_the_place_of_weights_are_refused(dtype, opening, copy):
    name = "model.layers.0.mlp.up_proj.weight"
    with pytest.raises(UnsupportedArchitecture, match=rf"'{name}' is stored as"):
        opening(copy("tied", lambda tensors: tensors.update({name: tensors[name].to(dtype)})))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("told", ["absent", "float32", "bfloat16"])
def test_numbers_keep_the_type_in_which_they_are_stored(dtype, told, opening, copy):
    def cast(tensors: Tensors) -> None:
        for name in tensors:
            tensors[name] = tensors[name].to(dtype)

    opened = opening(copy("tied", cast, dtype=told))
    assert (opened.dtype if opening is open_streamed else opened.model.dtype) == dtype


def test_files_that_would_not_be_read_are_refused(opening, copy):
    folder = copy("tied")
    save_file({"v_head.weight": torch.ones(1, 32)}, folder / "value_head.safetensors")
    with pytest.raises(CheckpointError, match=r"value_head\.safetensors does not belong to the weights"):
        opening(folder)
    (folder / "value_head.safetensors").rename(folder / "consolidated.safetensors")
    opening(folder)


def test_tensors_that_the_index_does_not_list_are_refused(opening, models, tmp_path):
    tiny_llama(tied=True).save_pretrained(tmp_path, max_shard_size="60KB")
    index = tmp_path / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    del content["weight_map"]["model.layers.0.mlp.up_proj.weight"]
    index.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"holds 'model\.layers\.0\.mlp\.up_proj\.weight', which"):
        opening(tmp_path)


def test_an_adapter_is_no_model(opening, copy):
    folder = copy("tied")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(ConfigError, match="holds an adapter"):
        opening(folder)


def test_a_tokenizer_larger_than_the_embedding_is_refused(opening, copy):
    folder = copy("tied")
    tokenizer = tiny_tokenizers.gpt2()
    tokenizer.add_tokens(["<bearing>"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"gives 1 tokens .*'<bearing>' is token \d+, but the model"):
        opening(folder)


@pytest.mark.parametrize(
    "config",
    [
        {"hidden_act": "nothing"},
        {"rope_parameters": {"rope_type": "unheard-of"}},
        {"num_attention_heads": 0},
        {"num_attention_heads": "four"},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": -1},
        {"hidden_size": 1.5},
        {"vocab_size": -3},
        {"hidden_size": 10**12},
        {"architectures": "LlamaForCausalLM"},
        {"architectures": [3]},
        {"model_type": 7},
        {"layer_types": ["unheard-of"]},
    ],
)
def test_odd_values_give_one_clear_line(config, opening, copy):
    with pytest.raises(SecateurError) as caught:
        opening(copy("tied", **config))
    assert str(caught.value).count("\n") <= 2
