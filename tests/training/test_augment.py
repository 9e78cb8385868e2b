from __future__ import annotations

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.training.augment import NO_AUGMENTATION, Augmentation, augment

QUIET = {"circular_shift": False, "polarity": False, "gain_db": 0.0}


def make_batch(size=64, length=512):
    waveform = torch.randn(size, length, generator=torch.Generator().manual_seed(1))
    waveform -= waveform.mean(dim=1, keepdim=True)
    waveform /= waveform.square().mean(dim=1, keepdim=True).sqrt()
    return {
        "waveform": waveform,
        "shaft_rate_hz": torch.full((size,), 30.0),
        "fault_orders": torch.ones(size, 4),
        "label": torch.arange(size),
    }


def test_the_seed_decides_and_the_input_is_left_alone():
    batch = make_batch()
    original = {name: values.clone() for name, values in batch.items()}
    one, again, other = (augment(batch, Augmentation(), seed) for seed in (3, 3, 4))
    for name, values in original.items():
        assert torch.equal(batch[name], values)
        assert torch.equal(one[name], again[name])
    assert not torch.equal(one["waveform"], other["waveform"])
    assert torch.equal(one["label"], batch["label"])


def test_nothing_asked_nothing_changed():
    batch = make_batch()
    result = augment(batch, NO_AUGMENTATION, 0)
    assert torch.equal(result["waveform"], batch["waveform"])
    assert torch.equal(result["shaft_rate_hz"], batch["shaft_rate_hz"])


def test_shift_rolls_each_window_by_its_own_amount():
    batch = make_batch(size=8, length=32)
    options = {**QUIET, "circular_shift": True, "noise_probability": 0.0}
    result = augment(batch, Augmentation(**options), 0)["waveform"]
    found = []
    for before, after in zip(batch["waveform"], result, strict=True):
        shifts = [s for s in range(32) if torch.equal(torch.roll(before, s), after)]
        assert len(shifts) == 1
        found += shifts
    assert len(set(found)) > 1


def test_noise_has_the_ratio_asked_for():
    batch = make_batch(size=32, length=8192)
    result = augment(batch, Augmentation(**QUIET, noise_probability=1.0, snr_db=(-6.0, -6.0)), 0)["waveform"]
    assert torch.allclose(result.square().mean(dim=1), torch.ones(32), atol=1e-5)
    assert result.mean(dim=1).abs().max() < 1e-5
    # Correlation of s + n with s is 1 / sqrt(1 + 10^0.6) for independent noise at -6 dB.
    correlation = (result * batch["waveform"]).mean(dim=1)
    assert torch.allclose(correlation, torch.tensor((1 + 10**0.6) ** -0.5), atol=0.05)
    assert correlation.mean() == pytest.approx((1 + 10**0.6) ** -0.5, abs=0.01)


def test_shares_of_noisy_and_speedless_windows():
    batch = make_batch(size=2000, length=16)
    options = {**QUIET, "noise_probability": 0.7, "speed_unknown_probability": 0.1, "speed_jitter": 0.01}
    result = augment(batch, Augmentation(**options), 5)
    changed = (result["waveform"] - batch["waveform"]).abs().amax(dim=1) > 1e-3
    assert changed.float().mean() == pytest.approx(0.7, abs=0.04)
    rate = result["shaft_rate_hz"]
    assert (rate == 0).float().mean() == pytest.approx(0.1, abs=0.03)
    known = rate[rate > 0]
    assert known.min() >= 29.7 - 1e-4
    assert known.max() <= 30.3 + 1e-4
    assert known.std() > 0.1


def test_polarity_and_gain_scale_only():
    batch = make_batch()
    options = {"noise_probability": 0.0, "circular_shift": False, "polarity": True, "gain_db": 6.0}
    result = augment(batch, Augmentation(**options), 2)["waveform"]
    factors = (result * batch["waveform"]).mean(dim=1)
    assert torch.allclose(result, factors[:, None] * batch["waveform"], atol=1e-5)
    assert (factors < 0).any()
    assert (factors > 0).any()
    assert factors.abs().max() <= 10 ** (6 / 20) + 1e-4
    assert factors.abs().min() >= 10 ** (-6 / 20) - 1e-4


@pytest.mark.parametrize(
    "wrong",
    [{"noise_probability": 1.5}, {"snr_db": (5.0, -5.0)}, {"gain_db": -1.0}, {"speed_jitter": 1.0}],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Augmentation(**wrong)
