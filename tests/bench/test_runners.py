"""What a worker runs, in this process: each kind of model answers, and says what it cannot do."""

from __future__ import annotations

import pytest
import torch

from secateur.bench.inputs import random_tokens, random_window
from secateur.bench.runners import bundle, checkpoint
from secateur.bench.work import Work
from secateur.core.errors import CheckpointError, ConfigError
from secateur.models import checkpoint as checkpoints
from secateur.models.presets import build_preset


def work(path, kind, tokens=None):
    return Work(kind=kind, path=str(path), tokens=tokens, threads=1)


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nano") / "model"
    torch.manual_seed(0)
    model = build_preset("nano-mha", classes=("a", "b"), sampling_rate_hz=12_000.0).eval()
    checkpoints.save(model, folder)
    return model, folder


def test_a_checkpoint_runs_whole_on_the_same_window_as_a_bundle(nano, monkeypatch):
    model, folder = nano
    seen = []
    loaded = checkpoint.load(work(folder, "checkpoint"))
    monkeypatch.setattr(
        "secateur.models.diagnoser.Diagnoser.forward",
        lambda self, **given: seen.append({name: tensor.shape for name, tensor in given.items()}),
    )
    loaded.infer()
    window = random_window(model.config.window_length)
    assert seen == [{name: array.shape for name, array in window.items()}]


def test_a_backbone_alone_gets_as_many_tokens_as_asked(nano, monkeypatch):
    _, folder = nano
    seen = []
    loaded = checkpoint.load(work(folder, "checkpoint", tokens=7))
    loaded.infer()
    former = torch.nn.LayerNorm.forward

    def watched(self, hidden):
        seen.append(hidden.shape)
        return former(self, hidden)

    monkeypatch.setattr(torch.nn.LayerNorm, "forward", watched)
    loaded.infer()
    assert set(seen) == {(1, 7, 32)}


def test_more_tokens_than_positions_are_refused(nano):
    with pytest.raises(ConfigError, match="64 tokens were asked for; this backbone has 21 positions"):
        checkpoint.load(work(nano[1], "checkpoint", tokens=64))


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError):
        checkpoint.load(work(tmp_path, "checkpoint"))


def test_a_bundle_diagnoses_a_burst_at_twice_its_rate(bundle_folder):
    loaded = bundle.load(work(bundle_folder, "bundle"))
    loaded.infer()
    told = loaded.diagnose()
    assert told == {"sampling_rate_hz": 24000.0, "samples": 1024}


def test_every_model_gets_the_same_noise():
    assert (random_tokens(3, 8) == random_tokens(3, 8)).all()
    window = random_window(512)
    assert {name: array.shape for name, array in window.items()} == {
        "waveform": (1, 512),
        "shaft_rate_hz": (1,),
        "fault_orders": (1, 4),
    }
