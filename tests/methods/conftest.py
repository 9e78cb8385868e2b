"""A tiny Diagnoser, tone windows, and settings small enough for tests."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from secateur.core.progress import quiet
from secateur.models.diagnoser import Diagnoser, DiagnoserConfig
from secateur.models.front_end.settings import FrontEndSettings
from secateur.models.presets import preset_config
from secateur.recovery.settings import RecoverySettings
from secateur.signals.windows import Windows
from secateur.tasks.windows import WindowTask
from secateur.training.augment import NO_AUGMENTATION
from secateur.training.fit import fit
from secateur.training.settings import FitSettings
from tones import tone_windows

RATE_HZ = 2048.0
LENGTH = 512
CLASSES = ("normal", "inner_race", "outer_race")
FRONT_END = FrontEndSettings(
    sampling_rate_hz=RATE_HZ,
    window_length=LENGTH,
    band_shares=(0.3, 0.7),
    band_filter_length=16,
    envelope_hop=8,
    spectrum_length=64,
    harmonics=1,
    frames=4,
    frame_bins=16,
    frame_filter_length=64,
    feature_noise=0.0,
    band_dropout=0.0,
    frame_dropout=0.0,
    frame_colouring=0.0,
)


@pytest.fixture(autouse=True)
def silent():
    with quiet():
        yield


def windows_of(per_class: int, seed: int) -> Windows:
    return tone_windows(
        [per_class] * 3,
        seed=seed,
        tones_hz=(200.0, 450.0, 800.0),
        noise=0.5,
        random_phase=False,
        rate_hz=RATE_HZ,
        length=LENGTH,
    )


def diagnoser(attention: str, n_layers: int = 3) -> Diagnoser:
    """Build an untrained nano Diagnoser of ``n_layers``."""
    config = preset_config(f"nano-{attention}", classes=CLASSES, front_end=FRONT_END)
    count = "n_layer" if attention == "mha" else "num_hidden_layers"
    backbone = {**config.backbone, count: n_layers}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Diagnoser(DiagnoserConfig(classes=CLASSES, front_end=FRONT_END, backbone=backbone)).eval()


@pytest.fixture(scope="session")
def task() -> WindowTask:
    return WindowTask.from_windows(
        windows_of(16, 1),
        windows_of(8, 2),
        seed=0,
        augmentation=NO_AUGMENTATION,
        calibration_samples=16,
        probe_samples=16,
        batch_size=8,
    )


@pytest.fixture(scope="session")
def task_with_last_fit(task) -> WindowTask:
    """Return the same task; its last fit learns from 60 windows, where choosing leaves 48 to learn from."""
    return replace(task, everything=windows_of(20, 3))


@pytest.fixture(scope="session")
def trained(task) -> dict[str, Diagnoser]:
    models = {}
    settings = FitSettings(
        max_steps=40,
        batch_size=16,
        learning_rate=3e-3,
        warmup_steps=4,
        evaluate_every=40,
        precision="fp32",
        augmentation=NO_AUGMENTATION,
    )
    with quiet():
        for attention in ("mha", "gqa"):
            models[attention] = diagnoser(attention)
            fit(models[attention], task.train, task.validation, settings)
    return models


@pytest.fixture(params=["mha", "gqa"])
def dense(request, trained) -> Diagnoser:
    return trained[request.param]


@pytest.fixture
def recovery() -> RecoverySettings:
    return RecoverySettings(
        max_steps=8,
        batch_size=8,
        warmup_steps=1,
        evaluate_every=4,
        rank=2,
        precision="fp32",
        augmentation=NO_AUGMENTATION,
    )
