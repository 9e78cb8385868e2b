"""Signals of no bearing beside labelled windows."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import tones
from secateur.core.errors import ConfigError
from secateur.signals.simulator.machine_windows import UNKNOWN
from secateur.training.augment import NO_AUGMENTATION
from secateur.training.evaluate import predict
from secateur.training.fit import fit, labelled
from secateur.training.settings import FitSettings
from secateur.training.strangers import POOL, Strangers, open_world_losses, stranger_pool

LENGTH, RATE_HZ = 1_024, 12_000.0


class Spectrum(nn.Module):
    """Log spectrum and two layers."""

    input_names = ("waveform", "shaft_rate_hz", "fault_orders")

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm = nn.Linear(LENGTH // 2 + 1, 48), nn.LayerNorm(48)
        self.head = nn.Linear(48, 3)

    def forward(self, waveform, shaft_rate_hz, fault_orders):
        spectrum = torch.log1p(torch.fft.rfft(waveform.float()).abs())
        return self.head(torch.relu(self.norm(self.inner(spectrum))))


@pytest.fixture(scope="module")
def windows():
    tones_hz = (64.0, 160.0, 320.0, 70.0, 170.0, 330.0)
    return tones.tone_windows([4] * 6, tones_hz=tones_hz, labels=(0, 1, 2, 0, 1, 2), length=LENGTH)


@pytest.fixture(scope="module")
def pool():
    return stranger_pool(3, LENGTH, RATE_HZ)


def batch_of(n):
    return {
        "waveform": torch.zeros(n, LENGTH),
        "shaft_rate_hz": torch.arange(1.0, n + 1),
        "fault_orders": torch.arange(1.0, n + 1)[:, None].expand(n, 4),
        "label": torch.arange(n),
    }


def test_a_pool_is_the_same_for_a_seed(pool):
    stranger_pool.cache_clear()
    assert torch.equal(pool, stranger_pool(3, LENGTH, RATE_HZ))
    assert not torch.equal(pool, stranger_pool(4, LENGTH, RATE_HZ))
    assert pool.shape == (POOL, LENGTH)
    assert pool.square().mean(dim=1) == pytest.approx(torch.ones(POOL), abs=1e-3)


def test_strangers_stand_behind_the_windows_with_the_speed_and_bearing_of_some(pool):
    given = batch_of(6)
    strangers = Strangers(pool=pool, a_batch=3)
    first, second, again = (strangers.added_to(given, 0, step) for step in (0, 1, 0))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["waveform"][6:], second["waveform"][6:])
    for name, values in given.items():
        assert torch.equal(first[name][:6], values)
    assert first["label"][6:].tolist() == [UNKNOWN] * 3
    for row in range(6, 9):
        told = int(first["shaft_rate_hz"][row])
        assert first["fault_orders"][row].tolist() == [told] * 4
        assert 1 <= told <= 6
        assert (pool == first["waveform"][row]).all(dim=1).any()


def test_a_window_of_no_bearing_pays_for_every_preference():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0], [5.0, 0.0, 0.0]])
    label = torch.tensor([1, UNKNOWN, UNKNOWN])
    weight = torch.tensor([1.0, 3.0, 1.0])
    plain = functional.cross_entropy(
        logits[:1], label[:1], weight=weight, label_smoothing=0.1, reduction="none"
    )
    found = open_world_losses(logits, label, weight=weight, label_smoothing=0.1)
    assert found[0] == pytest.approx(float(plain[0]))
    assert found[1] == pytest.approx(torch.log(torch.tensor(3.0)).item())
    assert found[2] > found[1]


def test_a_share_decides_how_many_and_none_leaves_the_batch_alone(windows):
    plain = {"batch_size": 16, "max_steps": 1, "augmentation": NO_AUGMENTATION}
    with_some, _ = labelled(windows, windows, FitSettings(**plain, stranger_share=0.25))
    without, _ = labelled(windows, windows, FitSettings(**plain, stranger_share=0.0))
    assert (with_some.batch(0)["label"] == UNKNOWN).sum() == 4
    assert torch.equal(with_some.batch(0)["waveform"][:16], without.batch(0)["waveform"])
    assert len(without.batch(0)["label"]) == 16
    with pytest.raises(ConfigError, match=r"stranger_share is 1\.0; it must be at least 0"):
        FitSettings(**plain, stranger_share=1.0)


def test_where_each_class_has_one_specimen_every_other_machine_is_strange(windows):
    alone = tones.tone_windows([8, 8, 8], length=LENGTH)
    settings = FitSettings(batch_size=16, max_steps=1)
    counts = [
        (labelled(part, part, settings)[0].batch(0)["label"] == UNKNOWN).sum() for part in (alone, windows)
    ]
    assert counts == [0, 2]


def test_a_model_that_met_strangers_is_less_sure_of_them(windows, pool):
    sure = {}
    for share in (0.0, 0.5):
        torch.manual_seed(0)
        model = Spectrum()
        settings = FitSettings(max_steps=60, batch_size=12, learning_rate=1e-2, stranger_share=share)
        fit(model, windows, windows, settings)
        assert (predict(model, windows).argmax(axis=1) == windows.labels).all()
        with torch.no_grad():
            unmet = stranger_pool(9, LENGTH, RATE_HZ)
            sure[share] = float(model(unmet, None, None).softmax(-1).amax(-1).mean())
    assert sure[0.5] < sure[0.0] - 0.1
