"""Pre-training on random machines: resumable, reproducible, and a checkpoint like any other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.models import checkpoint
from secateur.models.diagnoser import Diagnoser
from secateur.models.foundation import FOUNDATIONS
from secateur.models.front_end.settings import front_end_for
from secateur.models.presets import preset_config
from secateur.signals.simulator.machines import LABELS
from secateur.training.machine_data import described_machines, open_world_loss
from secateur.training.settings import LoopSettings
from secateur.workflow.pretraining import CHECKPOINT, PretrainingSettings, pretrain

LOOP = LoopSettings(
    max_steps=3, batch_size=8, evaluate_every=3, checkpoint_every=1, precision="fp32", warmup_steps=1
)
SETTINGS = PretrainingSettings(backbone="nano-mha", train_blocks=1, validation_blocks=1, loop=LOOP)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretraining") / "run"
    return folder, pretrain(SETTINGS, folder)


def test_the_checkpoint_comes_back_and_knows_its_task(run):
    folder, record = run
    described = checkpoint.describe(folder / CHECKPOINT)
    assert described.config.classes == LABELS
    assert described.config.front_end.context
    assert described.metadata["task"]["data"] == "machines"
    assert record["fit"]["steps"] == 3
    assert sum(record["machines"]["train"].values()) == 64


def test_a_repeated_command_simulates_and_trains_nothing_again(run):
    folder, record = run
    files = {path: path.stat().st_mtime_ns for path in (folder / "machines").iterdir()}
    again = pretrain(SETTINGS, folder)
    assert again["fit"]["history"] == record["fit"]["history"]
    assert files == {path: path.stat().st_mtime_ns for path in (folder / "machines").iterdir()}


def test_training_and_validation_share_no_machine(run):
    folder, _ = run
    front_end = checkpoint.describe(folder / CHECKPOINT).config.front_end
    first = described_machines(front_end, 1, 1, folder / "machines")
    second = described_machines(front_end, 2, 1, folder / "machines")
    assert not torch.equal(first["levels"], second["levels"])


def test_other_settings_do_not_touch_a_run(run):
    folder, _ = run
    with pytest.raises(ConfigError, match="seed"):
        pretrain(PretrainingSettings(backbone="nano-mha", seed=1, train_blocks=1, loop=LOOP), folder)


def test_strangers_should_look_like_every_class_alike():
    label = torch.tensor([-1, 2])
    sure = torch.tensor([[9.0, 0.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0]])
    unsure = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0]])
    assert open_world_loss(unsure, label) < open_world_loss(sure, label)
    assert open_world_loss(unsure, label).item() == pytest.approx(
        0.5 * torch.log(torch.tensor(4.0)).item(), abs=1e-3
    )


def test_a_trained_diagnoser_is_gone_on_with_by_its_own_windows(run, tmp_path):
    first = pretrain(replace(SETTINGS, backbone="foundation-micro"), tmp_path / "shipped")
    assert first["parameters"] == sum(
        p.numel() for p in checkpoint.load(FOUNDATIONS["foundation-micro"]).parameters()
    )
    config = preset_config("nano-mha", classes=("ball", "normal"), front_end=front_end_for(6_000.0, 2_048))
    checkpoint.save(Diagnoser(config), tmp_path / "own")
    pretrain(replace(SETTINGS, backbone=str(tmp_path / "own")), tmp_path / "further")
    found = checkpoint.describe(tmp_path / "further" / CHECKPOINT)
    assert found.config.front_end == config.front_end
    assert found.config.classes == LABELS
    assert found.metadata["task"]["window_length"] == 2_048


def test_what_is_no_backbone_is_refused_before_anything_is_simulated(tmp_path):
    with pytest.raises(ConfigError, match="neither a preset"):
        pretrain(replace(SETTINGS, backbone="no-such"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_windows_that_hold_nothing_of_a_machine_are_refused(tmp_path):
    config = preset_config("nano-mha", classes=LABELS, front_end=front_end_for(2_000.0, 640))
    checkpoint.save(Diagnoser(config), tmp_path / "own")
    with pytest.raises(ConfigError, match=r"640 samples at 2000 Hz; .* at least 1,024"):
        pretrain(replace(SETTINGS, backbone=str(tmp_path / "own")), tmp_path / "run")
    assert not (tmp_path / "run").exists()
