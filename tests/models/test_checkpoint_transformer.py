"""Any transformers model comes back: as a plain folder where its configuration tells the cut, else ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import tiny_tokenizers
from cut_checkpoints import (
    SPECIMENS,
    first_layer_gone,
    half_channels,
    identity,
    last_groups,
    one_head_a_group,
    outputs,
    saved,
    some_tokens,
    uneven,
)
from secateur.core.errors import CheckpointError
from secateur.models import checkpoint, checkpoint_transformer
from secateur.models.binding import bind
from secateur.models.probes import probe_inputs
from secateur.surgery.apply import apply
from zoo import ZOO, Specimen


@pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name)
def test_every_family_comes_back_from_an_uneven_cut(specimen: Specimen, tmp_path):
    model, plan = saved(specimen.name, uneven, tmp_path / "cut")
    loaded = checkpoint.load(tmp_path / "cut")
    assert type(loaded) is type(model)
    assert not loaded.training
    assert bind(loaded).shape == plan.result
    assert torch.equal(outputs(loaded), outputs(model))
    described = checkpoint.describe(tmp_path / "cut")
    assert described.plan == plan
    assert described.metadata == {"seed": 5}
    assert described.form == "own"
    assert "cannot tell these widths" in described.not_plain_because


@pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name)
def test_a_dense_model_is_a_plain_folder_of_every_family(specimen: Specimen, tmp_path):
    model, _ = saved(specimen.name, identity, tmp_path / "dense")
    assert checkpoint.describe(tmp_path / "dense").plan.is_identity
    assert_plain(model, tmp_path / "dense")


def assert_plain(model: torch.nn.Module, folder: Path) -> None:
    described = checkpoint.describe(folder)
    assert described.form == "plain", described.not_plain_because
    # what transformers 4 cannot be told is said behind the call
    way = described.loads_with[0].removeprefix("transformers.").partition(".from_pretrained(folder)")[0]
    loaded = getattr(transformers, way).from_pretrained(folder)
    assert type(loaded) is type(model)
    torch.testing.assert_close(outputs(loaded), outputs(model), atol=1e-5, rtol=1e-5)
    bind(loaded)  # experts side by side, which are added up in another order
    assert torch.equal(outputs(loaded), outputs(model))
    assert torch.equal(outputs(checkpoint.load(folder)), outputs(model))


@pytest.mark.parametrize("cut", [half_channels, last_groups, one_head_a_group, first_layer_gone, some_tokens])
@pytest.mark.parametrize(
    "specimen", ["llama", "llama_biased", "qwen2", "phi3", "glm", "olmo2", "gemma2", "mixtral"]
)
def test_even_cuts_are_plain_where_the_configuration_has_a_width_of_heads(specimen, cut, tmp_path):
    model, _ = saved(specimen, cut, tmp_path / "cut")
    assert_plain(model, tmp_path / "cut")


@pytest.mark.parametrize("cut", [half_channels, first_layer_gone])
@pytest.mark.parametrize("specimen", ["gpt2", "gpt_neox", "opt", "bert", "distilbert", "vit", "falcon_mha"])
def test_channels_and_layers_are_plain_in_older_families(specimen, cut, tmp_path):
    model, _ = saved(specimen, cut, tmp_path / "cut")
    assert_plain(model, tmp_path / "cut")


@pytest.mark.parametrize(
    ("specimen", "cut", "changes"),
    [
        # the width of a head is hidden over heads
        ("gpt2", last_groups, {}),
        ("bert", last_groups, {}),
        ("stablelm", last_groups, {}),
        # 4 x hidden, whatever the configuration says
        ("bloom", half_channels, {}),
        # hidden must be a multiple of the heads, of which three would stay
        ("llama", last_groups, {"num_key_value_heads": 4}),
        # slopes are computed for the number of heads
        ("falcon_mha_alibi", last_groups, {}),
        # encoder and decoder cannot be told apart
        ("whisper", half_channels, {}),
    ],
)
def test_even_cuts_that_a_configuration_cannot_tell_are_ours(specimen, cut, changes, tmp_path):
    model, _ = saved(specimen, cut, tmp_path / "cut", **changes)
    assert checkpoint.describe(tmp_path / "cut").form == "own"
    assert torch.equal(outputs(checkpoint.load(tmp_path / "cut")), outputs(model))


def test_what_a_plain_folder_would_change_is_found_by_loading_it(tmp_path):
    """Scales that depend on a layer's place: the shapes are right, the logits would not be."""
    model, _ = saved("gpt2", first_layer_gone, tmp_path / "cut", scale_attn_by_inverse_layer_idx=True)
    described = checkpoint.describe(tmp_path / "cut")
    assert described.form == "own"
    assert "logits of the reloaded model differ" in described.not_plain_because
    assert torch.equal(outputs(checkpoint.load(tmp_path / "cut")), outputs(model))


@pytest.mark.parametrize(
    "load",
    [
        transformers.AutoConfig.from_pretrained,
        transformers.AutoModel.from_pretrained,
        transformers.AutoModelForCausalLM.from_pretrained,
        transformers.LlamaForCausalLM.from_pretrained,
    ],
    ids=lambda load: load.__self__.__name__,
)
def test_transformers_refuses_our_own_folders(own, load):
    with pytest.raises((ValueError, OSError), match=r"`secateur`|no file named model.safetensors"):
        load(own[1])


def test_the_folder_says_how_it_loads(own, plain):
    card = json.loads((own[1] / "secateur.json").read_text())
    assert (card["form"], card["loads_with"]) == ("own", ["secateur.load(folder)"])
    assert json.loads((own[1] / "config.json").read_text())["loads_with"] == ["secateur.load(folder)"]
    card = json.loads((plain[1] / "secateur.json").read_text())
    assert card["form"] == "plain"
    assert card["loads_with"] == [
        "transformers.AutoModelForCausalLM.from_pretrained(folder)",
        "secateur.load(folder)",
    ]
    assert "/" not in json.loads((own[1] / "secateur.json").read_text())["config"].get("_name_or_path", "")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "own"])
def test_a_fresh_process_gives_the_same_logits_and_tokens(form, request, tmp_path):
    model, folder = request.getfixturevalue(form)
    loading = (
        "from transformers import AutoModelForCausalLM\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1])\n"
        "assert 'secateur' not in sys.modules\n"
        if form == "plain"
        else "import secateur\nmodel = secateur.load(sys.argv[1])\n"
    )
    script = (
        f"import sys, torch\nfrom safetensors.torch import load_file, save_file\n{loading}"
        "inputs = load_file(sys.argv[2])\n"
        "with torch.no_grad():\n"
        "    logits = model(**inputs).logits\n"
        "tokens = model.generate(**inputs, max_new_tokens=6, do_sample=False)\n"
        "save_file({'logits': logits, 'tokens': tokens}, sys.argv[3])\n"
    )
    inputs = {"input_ids": torch.tensor([[1, 2, 3, 4]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}
    save_file(inputs, tmp_path / "inputs.safetensors")
    paths = [str(folder), str(tmp_path / "inputs.safetensors"), str(tmp_path / "found.safetensors")]
    subprocess.run([sys.executable, "-c", script, *paths], check=True)
    found = load_file(paths[2])
    with torch.no_grad():
        torch.testing.assert_close(found["logits"], model(**inputs).logits, atol=1e-6, rtol=0)
    assert torch.equal(found["tokens"], model.generate(**inputs, max_new_tokens=6, do_sample=False))


def test_generation_goes_on_after_loading_with_and_without_cache(own):
    model, folder = own
    loaded = checkpoint.load(folder)
    inputs = {"input_ids": torch.tensor([[1, 2, 3]]), "attention_mask": torch.ones(1, 3, dtype=torch.long)}
    cached = loaded.generate(**inputs, max_new_tokens=8, do_sample=False)
    assert torch.equal(cached, loaded.generate(**inputs, max_new_tokens=8, do_sample=False, use_cache=False))
    assert torch.equal(cached, model.generate(**inputs, max_new_tokens=8, do_sample=False))


@pytest.mark.parametrize("cut", [half_channels, uneven])
def test_tied_weights_are_stored_once_and_come_back_tied(cut, tmp_path):
    saved("llama_biased", cut, tmp_path / "cut")
    (file,) = (tmp_path / "cut").glob("*.safetensors")
    with safe_open(file, framework="pt") as stored:
        assert "lm_head.weight" not in stored.keys()  # noqa: SIM118
    loaded = checkpoint.load(tmp_path / "cut")
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight


@pytest.mark.parametrize("cut", [half_channels, uneven])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_type_of_numbers_comes_back(cut, dtype, tmp_path):
    model = SPECIMENS["llama"].build()
    plan = cut(model)
    small = apply(model, plan).to(dtype)
    checkpoint.save(small, tmp_path / "cut", plan=plan)
    loaded = checkpoint.load(tmp_path / "cut")
    assert {parameter.dtype for parameter in loaded.parameters()} == {dtype}
    # computed anew, not from the rounded one
    assert loaded.model.rotary_emb.inv_freq.dtype == torch.float32
    assert checkpoint.describe(tmp_path / "cut").form == ("plain" if cut is half_channels else "own")


@pytest.mark.parametrize("cut", [half_channels, uneven])
def test_generation_settings_come_back(cut, tmp_path):
    model = SPECIMENS["llama"].build()
    model.generation_config.update(max_new_tokens=7, do_sample=True, temperature=0.5)
    plan = cut(model)
    checkpoint.save(apply(model, plan), tmp_path / "cut", plan=plan)
    found = checkpoint.load(tmp_path / "cut").generation_config
    assert (found.max_new_tokens, found.do_sample, found.temperature) == (7, True, 0.5)


@pytest.mark.parametrize("cut", [half_channels, uneven])
def test_the_tokenizer_comes_back(cut, tmp_path):
    tokenizer = tiny_tokenizers.llama()
    model = SPECIMENS["llama"].build(vocab_size=len(tokenizer))
    plan = cut(model).with_tokens(None)
    checkpoint.save(apply(model, plan), tmp_path / "cut", plan=plan, tokenizer=tokenizer)
    loaded = checkpoint.load_tokenizer(tmp_path / "cut")
    assert type(loaded) is type(tokenizer)
    assert loaded("def keep(self):")["input_ids"] == tokenizer("def keep(self):")["input_ids"]
    (tmp_path / "cut/tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer.json does not match its checksum"):
        checkpoint.load_tokenizer(tmp_path / "cut")


def test_no_tokenizer_is_none(own):
    assert checkpoint.load_tokenizer(own[1]) is None


def test_the_attention_implementation_is_not_part_of_a_checkpoint(tmp_path):
    model = SPECIMENS["llama"].build()
    model.set_attn_implementation("eager")
    checkpoint.save(model, tmp_path / "dense")
    assert checkpoint.load(tmp_path / "dense").config._attn_implementation == "sdpa"


@pytest.mark.parametrize("cut", [half_channels, uneven])
def test_large_models_are_written_in_shards(cut, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_transformer, "SHARD_SIZE", "10KB")
    model, _ = saved("llama", cut, tmp_path / "cut")
    shards = sorted(path.name for path in (tmp_path / "cut").glob("*.safetensors"))
    assert len(shards) > 2
    assert torch.equal(outputs(checkpoint.load(tmp_path / "cut")), outputs(model))
    (tmp_path / "cut" / shards[1]).unlink()
    with pytest.raises(CheckpointError, match=f"{shards[1]} is missing"):
        checkpoint.load(tmp_path / "cut")


def test_cut_again_after_loading_composes(own, tmp_path):
    _, folder = own
    plan, loaded = checkpoint.describe(folder).plan, checkpoint.load(folder)
    relative = identity(loaded).with_channels(0, [2, 3]).with_tokens([0, 1, 2, 9])
    again = apply(loaded, relative)
    checkpoint.save(again, tmp_path / "again", plan=plan.then(relative))
    assert torch.equal(outputs(checkpoint.load(tmp_path / "again")), outputs(again))


def test_saving_and_loading_leave_modes_and_random_state(tmp_path):
    model = SPECIMENS["llama"].build().train()
    model.lm_head.eval()
    before = torch.get_rng_state()
    checkpoint.save(model, tmp_path / "dense")
    checkpoint.load(tmp_path / "dense")
    assert model.training and not model.lm_head.training
    assert torch.equal(torch.get_rng_state(), before)


def test_loaded_models_are_whole_and_trainable(own):
    loaded = checkpoint.load(own[1]).train()
    assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])
    loaded(**probe_inputs(loaded)).logits.sum().backward()
    assert all(parameter.grad is not None for parameter in loaded.parameters())


@pytest.mark.parametrize("form", ["plain", "own"])
def test_outlines_have_the_shapes_without_weights(form, request):
    model, folder = request.getfixturevalue(form)
    outline = checkpoint.outline(folder)
    assert bind(outline).shape == bind(model).shape
    assert all(parameter.is_meta for parameter in outline.parameters())
