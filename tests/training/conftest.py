"""Small windows and a small model that the training tests share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from secateur.core.progress import quiet
from secateur.signals.recording import ArraySource, Recording
from secateur.signals.segment import Segment
from secateur.signals.windows import Windows, WindowSpec

RATE_HZ = 1024.0
LENGTH = 128


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


def make_tone_windows(
    per_class, *, seed=0, noise=0.3, group="rig", tones_hz=(64.0, 160.0, 320.0), labels=(0, 1, 2)
) -> Windows:
    """Windows of one tone a class in noise; ``per_class`` windows of each."""
    rng = np.random.default_rng(seed)
    segments = []
    for label, count, tone_hz in zip(labels, per_class, tones_hz, strict=True):
        t = np.arange(count * LENGTH) / RATE_HZ
        samples = np.sin(2 * np.pi * tone_hz * t + rng.uniform(0, 6)) + noise * rng.standard_normal(len(t))
        recording = Recording(
            recording_id=f"{group}-{tone_hz:g}",
            source=ArraySource(samples[None].astype(np.float32)),
            channels=("x",),
            sampling_rate_hz=RATE_HZ,
            group_id=f"{group}-{tone_hz:g}",
            dataset="tones",
            shaft_speed_rpm=600.0,
        )
        segments.append(Segment.whole(recording, label))
    return Windows(segments, WindowSpec(sampling_rate_hz=RATE_HZ, length=LENGTH), hop=LENGTH)


class SpectrumNet(nn.Module):
    """Log spectrum, two layers, dropout: learns tones within a few steps."""

    def __init__(self, n_classes: int = 3, width: int = 24) -> None:
        super().__init__()
        self.inner = nn.Linear(LENGTH // 2 + 1, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(0.2)
        self.outer = nn.Linear(width, n_classes)

    def forward(self, waveform: Tensor, shaft_rate_hz: Tensor, fault_orders: Tensor) -> Tensor:
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.log1p(torch.fft.rfft(waveform.float()).abs())
        return self.outer(self.dropout(torch.relu(self.norm(self.inner(spectrum)))))


@pytest.fixture
def spectrum_net():
    torch.manual_seed(0)
    return SpectrumNet()


@pytest.fixture
def tone_windows():
    return make_tone_windows


@pytest.fixture
def train(tone_windows):
    return tone_windows([24, 12, 4], seed=1, group="train")


@pytest.fixture
def validation(tone_windows):
    return tone_windows([6, 6, 6], seed=2, group="validation")
