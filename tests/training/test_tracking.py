"""Curves go to the trackers that were chosen, and to no other."""

from __future__ import annotations

from typing import ClassVar

import accelerate.tracking
import pytest
import torch

from secateur.core.errors import ConfigError, MissingPackage
from secateur.training import tracking
from secateur.training.processes import Processes, training_on


class Recorder:
    """In the place of MLflow: keeps what it is told."""

    runs: ClassVar[list[Recorder]] = []

    def __init__(self, project, *, run_name):
        self.project, self.name, self.values, self.open = project, run_name, [], False
        Recorder.runs.append(self)

    def start(self):
        self.open = True

    def store_init_configuration(self, values):
        self.settings = values

    def log(self, values, step):
        self.values.append((step, values))

    def finish(self):
        self.open = False


@pytest.fixture
def recorder(monkeypatch):
    monkeypatch.setattr(accelerate.tracking, "MLflowTracker", Recorder)
    monkeypatch.setattr(tracking, "find_spec", lambda name: name)
    monkeypatch.setattr(Recorder, "runs", [])
    return Recorder


def test_figures_settings_and_the_end_reach_a_tracker(recorder):
    settings = {"learning_rate": 0.1, "augmentation": {"gain_db": 1.0, "snr_db": (-10.0, 20.0)}}
    with (
        tracking.tracking(["mlflow"]),
        pytest.raises(RuntimeError),
        tracking.curves("the dense model", settings) as told,
    ):
        told.log({"train_loss": 0.5}, 100)
        assert recorder.runs[0].open
        raise RuntimeError
    (run,) = recorder.runs
    assert run.project == "secateur"
    assert run.name.startswith("the-dense-model-")
    assert run.settings == {
        "learning_rate": 0.1,
        "augmentation.gain_db": 1.0,
        "augmentation.snr_db": "(-10.0, 20.0)",
    }
    assert run.values == [(100, {"train_loss": 0.5})]
    assert not run.open


def test_without_a_choice_nothing_is_opened(recorder):
    with tracking.tracking(["mlflow"]):
        pass
    with tracking.curves("training", {}) as told:
        told.log({"train_loss": 0.5}, 1)
    assert not recorder.runs


@pytest.mark.parametrize("name", ["tensorbord", "", "all"])
def test_an_unknown_tracker_is_refused(name):
    with pytest.raises(ConfigError, match="allowed: tensorboard, mlflow, wandb"), tracking.tracking([name]):
        pass


def test_a_tracker_that_is_not_installed_is_told_with_the_command(monkeypatch):
    monkeypatch.setattr("secateur.training.tracking.find_spec", lambda _: None)
    with pytest.raises(MissingPackage, match="pip install tensorboard"), tracking.tracking(["tensorboard"]):
        pass


def test_tensorboard_reads_the_curves_of_a_training(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    with tracking.tracking(["tensorboard"]), tracking.curves("training", {"seed": 3}) as told:
        told.log({"train_loss": 0.5}, 100)
        told.log({"train_loss": 0.25}, 200)
    (folder,) = (tmp_path / "runs" / "secateur").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train_loss")] == [(100, 0.5), (200, 0.25)]


def test_training_computes_on_the_device_that_is_named(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    with training_on("cpu"):
        assert Processes().device == torch.device("cpu")
    with pytest.raises(ConfigError, match="'cuda:7' is not here; allowed: auto, cpu"), training_on("cuda:7"):
        pass
