"""Small windows and a small model that the training tests share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import tones
from secateur.core.progress import quiet

LENGTH = 128


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


class SpectrumNet(nn.Module):
    """Log spectrum, two layers, dropout: learns tones within a few steps."""

    input_names = ("waveform", "shaft_rate_hz", "fault_orders")

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
    return tones.tone_windows


@pytest.fixture
def train(tone_windows):
    return tone_windows([24, 12, 4], seed=1, group="train")


@pytest.fixture
def validation(tone_windows):
    return tone_windows([6, 6, 6], seed=2, group="validation")
