"""Folders of cut transformers that were changed, or lie about what they hold, are refused."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import tiny_tokenizers
from cut_checkpoints import (
    SPECIMENS,
    edit,
    identity,
    outputs,
    reseal,
    saved,
)
from secateur.core.errors import CheckpointError, ConfigError, UnsupportedArchitecture
from secateur.models import checkpoint, checkpoint_transformer
from secateur.models.presets import build_preset
from secateur.structure.plan import PruningPlan


@pytest.mark.parametrize("form", ["plain", "own"])
def test_changed_files_are_refused_by_name(form, request):
    _, folder = request.getfixturevalue(form)
    # the model card is for people, who may write on in it
    for path in sorted(set(folder.iterdir()) - {folder / "README.md"}):
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
