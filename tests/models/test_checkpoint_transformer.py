"""Any transformers model comes back: as a plain folder where its configuration tells the cut, else ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import tiny_tokenizers
from secateur.core.errors import CheckpointError, ConfigError, UnsupportedArchitecture
from secateur.models import checkpoint, checkpoint_card, checkpoint_transformer
from secateur.models.binding import bind
from secateur.models.presets import build_preset
from secateur.models.probes import output_of, probe_inputs
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from zoo import ZOO, Specimen

SPECIMENS = {specimen.name: specimen for specimen in ZOO}


def identity(model: torch.nn.Module) -> PruningPlan:
    bound = bind(model)
    return PruningPlan.identity(bound.spec.family, bound.shape)


def uneven(model: torch.nn.Module) -> PruningPlan:
    """A layer, then groups and channels of the last layer, then tokens."""
    plan = identity(model)
    plan = plan.without_layers([0 if len(plan.shape.stack_sizes) > 1 else 1])
    last = plan.layers[-1]
    plan = plan.with_channels(last.index, last.channels[1:4])
    if len(last.groups) > 1:
        plan = plan.with_groups(last.index, last.groups[1:])
    if plan.shape.vocabulary:
        plan = plan.with_tokens([0, 1, 2, 3, *range(5, plan.shape.vocabulary, 3)])
    return plan


def half_channels(model: torch.nn.Module) -> PruningPlan:
    plan = identity(model)
    for layer in plan.layers:
        plan = plan.with_channels(layer.index, layer.channels[::2])
    return plan


def last_groups(model: torch.nn.Module) -> PruningPlan:
    plan = identity(model)
    for layer in plan.layers:
        plan = plan.with_groups(layer.index, layer.groups[1:])
    return plan


def one_head_a_group(model: torch.nn.Module) -> PruningPlan:
    plan = identity(model)
    for layer in plan.layers:
        plan = plan.with_heads(layer.index, [[1] for _ in layer.groups])
    return plan


def first_layer_gone(model: torch.nn.Module) -> PruningPlan:
    return identity(model).without_layers([0])


def some_tokens(model: torch.nn.Module) -> PruningPlan:
    return identity(model).with_tokens([0, 1, 2, 3, 8, 40])


def outputs(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return output_of(model, probe_inputs(model))


def saved(specimen: str, cut: Any, folder: Path, **changes: Any) -> tuple[Any, PruningPlan]:
    """Cut a tiny model, save it, return it with its plan."""
    model = SPECIMENS[specimen].build(**changes)
    plan = cut(model)
    small = apply(model, plan)
    checkpoint.save(small, folder, plan=plan, metadata={"seed": 5})
    return small, plan


def reseal(folder: Path) -> None:
    """Make the checksums right again after a change, so that the later checks are reached."""
    (folder / "checksums.json").unlink()
    checkpoint_card.seal_folder(folder)


def edit(path: Path, change: Any) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    reseal(path.parent)


@pytest.fixture
def own(tmp_path: Path) -> tuple[Any, Path]:
    """An unevenly cut llama and its folder."""
    model, _ = saved("llama", uneven, tmp_path / "own")
    return model, tmp_path / "own"


@pytest.fixture
def plain(tmp_path: Path) -> tuple[Any, Path]:
    """An evenly cut llama and its folder."""
    model, _ = saved("llama", half_channels, tmp_path / "plain")
    return model, tmp_path / "plain"


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
    way = described.loads_with[0].removeprefix("transformers.").removesuffix(".from_pretrained(folder)")
    loaded = getattr(transformers, way).from_pretrained(folder)
    assert type(loaded) is type(model)
    assert torch.equal(outputs(loaded), outputs(model))
    assert torch.equal(outputs(checkpoint.load(folder)), outputs(model))


@pytest.mark.parametrize("cut", [half_channels, last_groups, one_head_a_group, first_layer_gone, some_tokens])
@pytest.mark.parametrize("specimen", ["llama", "llama_biased", "qwen2", "phi3", "glm", "olmo2", "gemma2"])
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


@pytest.mark.parametrize("form", ["plain", "own"])
def test_changed_files_are_refused_by_name(form, request):
    _, folder = request.getfixturevalue(form)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 1
        for damaged in (whole[:-9], bytes(flipped), None):
            path.unlink() if damaged is None else path.write_bytes(damaged)
            with pytest.raises(CheckpointError) as refusal:
                checkpoint.load(folder)
            assert str(folder) in str(refusal.value)
        path.write_bytes(whole)
    checkpoint.load(folder)


def test_files_that_were_not_sealed_are_refused(plain):
    (plain[1] / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"index.json does not belong to the checkpoint"):
        checkpoint.load(plain[1])


def test_names_that_lead_out_of_the_folder_are_refused(plain):
    _, folder = plain
    edit_raw = json.loads((folder / "checksums.json").read_text())
    (folder / "checksums.json").write_text(json.dumps({**edit_raw, "../outside": "0" * 64}))
    with pytest.raises(CheckpointError, match="no list of file names"):
        checkpoint.load(folder)


@pytest.mark.parametrize("form", ["plain", "own"])
def test_plans_that_do_not_match_are_refused_though_sealed(form, request):
    _, folder = request.getfixturevalue(form)
    edit(folder / "plan.json", lambda value: value["layers"][0].update(channels=[0, 1]))
    with pytest.raises(CheckpointError, match=r"but plan.json says|but the plan says"):
        checkpoint.load(folder)


def test_a_uniform_model_built_from_per_layer_widths_is_refused(tmp_path):
    """transformers can read such a configuration and build equal layers all the same."""
    saved("llama", identity, tmp_path / "cut")
    folder = tmp_path / "cut"
    edit(folder / "plan.json", lambda value: value["layers"][1].update(channels=[0, 1, 2]))
    edit(
        folder / "config.json",
        lambda value: value.update(per_layer_config={"1": {"intermediate_size": 3}}),
    )
    with pytest.raises(CheckpointError):
        checkpoint.load(folder)


def test_tensors_of_other_shapes_are_refused_though_sealed(own):
    _, folder = own
    tensors = load_file(folder / "weights.safetensors")
    tensors["model.norm.weight"] = torch.ones(31)
    save_file(tensors, folder / "weights.safetensors")
    reseal(folder)
    with pytest.raises(CheckpointError, match=r"'model.norm.weight' has shape \(31,\), but the plan says"):
        checkpoint.load(folder)


def test_missing_tensors_of_a_plain_folder_are_never_made_up(plain):
    _, folder = plain
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.0.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    reseal(folder)
    with pytest.raises(CheckpointError, match="missing_keys"):
        checkpoint.load(folder)


@pytest.mark.parametrize(
    "name", ["Trainer", "PreTrainedModel", "AutoModel", "os", "no_such", None, "Diagnoser"]
)
@pytest.mark.parametrize("form", ["plain", "own"])
def test_only_model_classes_of_transformers_are_built(form, name, request):
    _, folder = request.getfixturevalue(form)
    edit(folder / "secateur.json", lambda value: value.update(model_class=name))
    with pytest.raises(CheckpointError, match="names the class"):
        checkpoint.load(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: value.update(schema_version=9), "schema version 9"),
        (lambda value: value.update(form="pickle"), "names the form 'pickle'"),
        (lambda value: value.pop("metadata"), "is not valid"),
        (lambda value: value["config"].update(hidden_size=16), "does not fit the configuration"),
        (lambda value: value["config"].update(num_attention_heads="many"), "does not fit the configuration"),
    ],
)
def test_cards_that_cannot_be_are_refused(own, change, said):
    edit(own[1] / "secateur.json", change)
    with pytest.raises(CheckpointError, match=said):
        checkpoint.load(own[1])


def test_classes_from_elsewhere_are_not_saved(tmp_path):
    class LlamaForCausalLM(transformers.LlamaForCausalLM):
        pass

    model = LlamaForCausalLM(SPECIMENS["llama"].build().config)
    with pytest.raises(UnsupportedArchitecture, match="no class of the transformers package"):
        checkpoint.save(model, tmp_path / "cut")
    assert not any(tmp_path.iterdir())


def test_plans_that_do_not_lead_to_the_model_are_refused(own, tmp_path):
    model, folder = own
    plan = checkpoint.describe(folder).plan
    with pytest.raises(CheckpointError, match="the plan leads to"):
        checkpoint.save(model, tmp_path / "other", plan=PruningPlan.identity(plan.family, plan.shape))


def test_weights_that_would_not_come_back_stop_the_saving(own, tmp_path):
    model, folder = own
    model.lm_head.register_forward_hook(lambda *call: call[-1] + 1e-2)
    with pytest.raises(CheckpointError, match="logits of the reloaded model differ"):
        checkpoint.save(model, tmp_path / "other", plan=checkpoint.describe(folder).plan)
    assert not (tmp_path / "other").exists()


def test_a_failed_saving_leaves_the_former_checkpoint(own, monkeypatch):
    model, folder = own

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_transformer, "save_file", full_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        checkpoint.save(model, folder, plan=checkpoint.describe(folder).plan)
    assert [path.name for path in folder.parent.iterdir()] == ["own"]
    assert torch.equal(outputs(checkpoint.load(folder)), outputs(model))


def test_a_diagnoser_has_no_tokenizer(tmp_path):
    model = build_preset("nano-gqa", classes=("normal", "ball"), sampling_rate_hz=12_000.0)
    with pytest.raises(ConfigError, match="no tokenizer"):
        checkpoint.save(model, tmp_path / "cut", tokenizer=tiny_tokenizers.llama())


def test_kinds_of_folders(own, tmp_path):
    model = build_preset("nano-gqa", classes=("normal", "ball"), sampling_rate_hz=12_000.0)
    checkpoint.save(model, tmp_path / "diagnoser")
    SPECIMENS["llama"].build().save_pretrained(tmp_path / "theirs")
    assert checkpoint.kind_of(own[1]) == "transformer"
    assert checkpoint.kind_of(tmp_path / "diagnoser") == "diagnoser"
    assert checkpoint.kind_of(tmp_path / "theirs") is None
    assert checkpoint.kind_of(tmp_path / "nowhere") is None
