"""Checkpoints: what is saved comes back, and nothing else is ever accepted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from secateur.core.errors import CheckpointError, ConfigError
from secateur.core.files import sha256_of
from secateur.models import checkpoint, checkpoint_diagnoser, checkpoint_files
from secateur.models.binding import bind
from secateur.models.diagnoser import Diagnoser
from secateur.models.presets import build_preset
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply

PRESETS = ("nano-mha", "nano-gqa")


def dense(preset: str) -> Diagnoser:
    torch.manual_seed(5)
    return build_preset(preset, classes=("normal", "inner_race", "ball"), sampling_rate_hz=12_000.0)


def cut_plan(model: Diagnoser) -> PruningPlan:
    bound = bind(model)
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    return plan.without_layers([0]).with_groups(1, [1]).with_channels(1, [0, 7, 11])


def probe(model: Diagnoser) -> torch.Tensor:
    waveform = torch.randn(2, model.config.window_length, generator=torch.Generator().manual_seed(9))
    fault_orders = torch.tensor([[3.6, 5.4, 4.7, 0.4], [0.0] * 4])
    with torch.no_grad():
        return model.eval()(waveform, torch.tensor([25.0, 0.0]), fault_orders)


@pytest.fixture(params=PRESETS)
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Diagnoser, PruningPlan, Path]:
    """A cut model, its plan and the folder it was saved in."""
    model = dense(request.param)
    plan = cut_plan(model)
    cut = apply(model, plan)
    folder = tmp_path / "pruned"
    checkpoint.save(cut, folder, plan=plan, metadata={"seed": 5, "split": "load"})
    return cut, plan, folder


def reseal(folder: Path) -> None:
    """Make the checksums right again after a change, so that the later checks are reached."""
    names = ("config.json", "plan.json", "model.safetensors")
    (folder / "checksums.json").write_text(json.dumps({name: sha256_of(folder / name) for name in names}))


def edit(path: Path, change) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))
    reseal(path.parent)


def edit_tensors(folder: Path, change) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    reseal(folder)


def test_cut_model_comes_back(saved):
    cut, plan, folder = saved
    loaded = checkpoint.load(folder)
    assert not loaded.training
    assert bind(loaded).shape == plan.result
    assert torch.equal(probe(loaded), probe(cut))
    assert sorted(path.name for path in folder.iterdir()) == [
        "checksums.json",
        "config.json",
        "model.safetensors",
        "plan.json",
    ]


def test_every_buffer_is_right_though_the_file_does_not_hold_it(saved):
    cut, _, folder = saved
    stored = set(load_file(folder / "model.safetensors"))
    loaded = dict(checkpoint.load(folder).named_buffers())
    computed = [name for name in loaded if name not in stored]
    if cut.config.family == "llama":
        assert "backbone.rotary_emb.inv_freq" in computed
    assert computed
    for name, buffer in cut.named_buffers():
        assert torch.equal(loaded[name], buffer), name


def test_loaded_model_is_whole_and_trainable(saved):
    _, _, folder = saved
    loaded = checkpoint.load(folder).train()
    assert not any(tensor.is_meta for tensor in [*loaded.parameters(), *loaded.buffers()])
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    inputs = (torch.randn(2, loaded.config.window_length), torch.full((2,), 25.0), torch.ones(2, 4))
    loaded(*inputs).sum().backward()
    torch.optim.SGD(loaded.parameters(), lr=0.1).step()
    checkpoint.load(folder)


@pytest.mark.parametrize("preset", PRESETS)
def test_dense_model_comes_back_and_saving_keeps_the_mode(preset, tmp_path):
    model = dense(preset).train()
    model.head.eval()
    checkpoint.save(model, tmp_path / "dense")
    assert model.training and not model.head.training
    described = checkpoint.describe(tmp_path / "dense")
    assert described.plan.is_identity
    assert described.config == model.config
    assert torch.equal(probe(checkpoint.load(tmp_path / "dense")), probe(model))


def test_description_gives_plan_and_metadata(saved):
    _, plan, folder = saved
    described = checkpoint.describe(folder)
    assert described.plan == plan
    assert described.metadata == {"seed": 5, "split": "load"}


def test_loading_leaves_the_random_state(saved):
    _, _, folder = saved
    before = torch.get_rng_state()
    checkpoint.load(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_cut_again_after_loading_composes(saved, tmp_path):
    _, plan, folder = saved
    loaded = checkpoint.load(folder)
    relative = PruningPlan.identity(plan.family, plan.result).with_channels(0, [2])
    again = apply(loaded, relative)
    checkpoint.save(again, tmp_path / "again", plan=plan.then(relative))
    assert torch.equal(probe(checkpoint.load(tmp_path / "again")), probe(again))


def test_scaling_by_depth_survives_a_removed_layer(tmp_path):
    model = dense("nano-mha")
    settings = dict(model.config.backbone, scale_attn_by_inverse_layer_idx=True)
    model = Diagnoser(type(model.config)(**{**vars(model.config), "backbone": settings}))
    plan = cut_plan(model)
    checkpoint.save(apply(model, plan), tmp_path / "pruned", plan=plan)
    loaded = bind(checkpoint.load(tmp_path / "pruned")).layers[0].module.attn
    assert loaded.scaling == bind(model).layers[1].module.attn.scaling
    assert loaded.layer_idx == 0


@pytest.mark.slow
def test_fresh_process_gives_the_same_logits(saved, tmp_path):
    cut, _, folder = saved
    script = (
        "import sys, torch, secateur\n"
        "from safetensors.torch import load_file, save_file\n"
        "inputs = load_file(sys.argv[2])\n"
        "with torch.no_grad():\n"
        "    save_file({'logits': secateur.load(sys.argv[1])(**inputs)}, sys.argv[3])\n"
    )
    inputs = {
        "waveform": torch.randn(2, cut.config.window_length),
        "shaft_rate_hz": torch.tensor([25.0, 30.0]),
        "fault_orders": torch.tensor([[3.6, 5.4, 4.7, 0.4]]).repeat(2, 1),
    }
    save_file(inputs, tmp_path / "inputs.safetensors")
    paths = [str(folder), str(tmp_path / "inputs.safetensors"), str(tmp_path / "logits.safetensors")]
    subprocess.run([sys.executable, "-c", script, *paths], check=True)
    with torch.no_grad():
        expected = cut.eval()(**inputs)
    torch.testing.assert_close(load_file(paths[2])["logits"], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["config.json", "plan.json", "model.safetensors", "checksums.json"])
def test_missing_truncated_and_flipped_files_are_refused(saved, name):
    _, _, folder = saved
    whole = (folder / name).read_bytes()
    middle = len(whole) // 2
    flipped = bytearray(whole)
    flipped[middle] ^= 1
    for damaged in (whole[:middle], bytes(flipped), b"", None):
        (folder / name).unlink(missing_ok=True)
        if damaged is not None:
            (folder / name).write_bytes(damaged)
        with pytest.raises(CheckpointError) as refusal:
            checkpoint.load(folder)
        assert str(folder) in str(refusal.value)
        if damaged is None:
            assert f"{name} is missing" in str(refusal.value)
    (folder / name).write_bytes(whole)
    checkpoint.load(folder)


def test_truncated_tensors_are_refused_even_under_a_right_checksum(saved):
    _, _, folder = saved
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    reseal(folder)
    with pytest.raises(CheckpointError, match="not readable"):
        checkpoint.load(folder)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is not a folder"):
        checkpoint.load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value["layers"][0]["channels"].append(12), r"has shape .* but the plan says"),
        (lambda value: value["layers"][0].update(index=9), "is not a valid plan"),
        (lambda value: value["shape"].update(hidden=64), "does not fit"),
        (lambda value: value["shape"].update(other_parameters=1), "does not fit"),
        (lambda value: value.update(family="llama2"), "does not fit"),
        (
            lambda value: value["layers"].insert(0, dict(value["layers"][0], index=0)),
            r"missing \['backbone",
        ),
    ],
)
def test_plans_that_do_not_match_are_refused(saved, change, message):
    _, _, folder = saved
    edit(folder / "plan.json", change)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value.update(schema_version=2), "schema version 2"),
        (lambda value: value.pop("schema_version"), "schema version None"),
        (lambda value: value.pop("model"), "not a valid configuration"),
        (lambda value: value["model"].pop("classes"), "not a valid configuration"),
        (lambda value: value["model"]["classes"].append("outer_race"), "does not fit"),
    ],
)
def test_configurations_that_do_not_match_are_refused(saved, change, message):
    _, _, folder = saved
    edit(folder / "config.json", change)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("head.bias"), r"missing \['head.bias'\]"),
        (lambda tensors: tensors.update(extra=torch.zeros(1)), r"unexpected \['extra'\]"),
        (lambda tensors: tensors.update({"head.bias": torch.zeros(4)}), r"'head.bias' has shape \(4,\)"),
    ],
)
def test_tensors_that_do_not_match_are_refused(saved, change, message):
    _, _, folder = saved
    edit_tensors(folder, change)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.load(folder)


def test_unreadable_file_is_refused(saved, monkeypatch):
    _, _, folder = saved

    def denied(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(checkpoint_files, "sha256_of", denied)
    with pytest.raises(CheckpointError, match="Permission denied"):
        checkpoint.load(folder)


def test_checksums_must_cover_every_file(saved):
    _, _, folder = saved
    (folder / "checksums.json").write_text("{}")
    with pytest.raises(CheckpointError, match="must name"):
        checkpoint.load(folder)


def test_saving_a_cut_model_without_its_plan_is_refused(saved, tmp_path):
    cut, plan, _ = saved
    with pytest.raises(CheckpointError, match="does not fit"):
        checkpoint.save(cut, tmp_path / "other")
    with pytest.raises(CheckpointError, match="the plan leads to"):
        checkpoint.save(cut, tmp_path / "other", plan=PruningPlan.identity(plan.family, plan.shape))
    assert not any(path.name != "pruned" for path in tmp_path.iterdir())


def test_failed_saving_leaves_the_former_checkpoint(saved, monkeypatch):
    cut, plan, folder = saved
    expected = probe(cut)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_diagnoser, "save_file", full_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        checkpoint.save(cut, folder, plan=plan)
    assert [path.name for path in folder.parent.iterdir()] == ["pruned"]
    assert torch.equal(probe(checkpoint.load(folder)), expected)


def test_saving_notices_what_would_not_come_back(saved, tmp_path):
    cut, plan, _ = saved
    name, buffer = next(iter(cut.front_end.named_buffers()))
    former = buffer.clone()
    buffer.add_(1.0)
    with pytest.raises(CheckpointError, match=f"'front_end.{name}' does not come back"):
        checkpoint.save(cut, tmp_path / "other", plan=plan)
    buffer.copy_(former)
    cut.register_buffer("stowaway", torch.zeros(1), persistent=False)
    with pytest.raises(CheckpointError, match="stowaway"):
        checkpoint.save(cut, tmp_path / "other", plan=plan)
    assert not (tmp_path / "other").exists()


def test_saving_notices_other_logits(saved, tmp_path):
    cut, plan, _ = saved
    cut.head.register_forward_hook(lambda *call: call[-1] + 1e-5)
    with pytest.raises(CheckpointError, match="logits of the reloaded model differ"):
        checkpoint.save(cut, tmp_path / "other", plan=plan)


def test_a_buffer_without_value_is_never_let_through(saved, monkeypatch):
    _, _, folder = saved
    build = checkpoint_diagnoser.skeleton

    def forgetful(*arguments):
        model = build(*arguments)
        model.register_buffer("window", torch.empty(3, device="meta"), persistent=False)
        return model

    monkeypatch.setattr(checkpoint_diagnoser, "skeleton", forgetful)
    with pytest.raises(CheckpointError, match="'window' has no value"):
        checkpoint.load(folder)
