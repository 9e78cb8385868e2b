"""The front end: lines where they belong, nothing where the speed is unknown."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.models.front_end.filters import analytic_filters, filtered_power
from secateur.models.front_end.frames import SpectrogramFrames
from secateur.models.front_end.lines import BandEnvelopes, LineLevels, impulsiveness
from secateur.models.front_end.settings import FrontEndSettings, front_end_for
from secateur.models.front_end.tokens import FrontEnd, token_count, unit_rms
from secateur.signals.lines import FAMILIES

RATE_HZ = 12000.0
SHAFT_HZ = 30.0
ORDERS = torch.tensor([[3.5848, 5.4152, 4.7135, 0.39828]])
SETTINGS = FrontEndSettings(sampling_rate_hz=RATE_HZ)


def knocking(
    rate_hz: float, *, carrier_hz: float = 3000.0, noise: float = 0.3, seed: int = 0
) -> torch.Tensor:
    """Return a window (1, 8192) of decaying bursts at ``rate_hz`` in white noise."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(SETTINGS.window_length) / RATE_HZ
    since_s = np.mod(time_s, 1 / rate_hz)
    burst = np.exp(-since_s * 800) * np.sin(2 * math.pi * carrier_hz * since_s)
    window = burst / burst.std() + noise * rng.standard_normal(len(time_s))
    return torch.tensor(window, dtype=torch.float32)[None]


def line_levels(waveform: torch.Tensor, shaft_hz: float = SHAFT_HZ) -> torch.Tensor:
    envelopes = BandEnvelopes(SETTINGS)(unit_rms(waveform))
    return LineLevels(SETTINGS)(envelopes, torch.tensor([shaft_hz]), ORDERS)[0]


@pytest.mark.parametrize("family", ["bpfo", "bpfi", "bsf2"])
def test_the_family_that_knocks_has_the_highest_lines(family):
    place = FAMILIES.index(family)
    levels = line_levels(knocking(SHAFT_HZ * float(ORDERS[0, place])))
    in_carrier_band = levels[3].mean(-1)
    assert in_carrier_band.argmax() == place
    assert in_carrier_band[place] > 1.5
    others = [other for other in range(3) if other != place]
    assert (in_carrier_band[others] < in_carrier_band[place] - 1.0).all()


def test_a_line_is_found_where_the_elements_slip_by_one_per_cent():
    exact = line_levels(knocking(SHAFT_HZ * 3.5848))
    slipped = line_levels(knocking(SHAFT_HZ * 3.5848 * 1.01))
    assert slipped[3, 0].mean() > 0.7 * exact[3, 0].mean()
    missed = line_levels(knocking(SHAFT_HZ * 3.5848 * 1.06))
    assert missed[3, 0].mean() < 0.5 * exact[3, 0].mean()


def test_noise_alone_has_no_lines():
    noise = torch.tensor(np.random.default_rng(0).standard_normal((1, 8192)), dtype=torch.float32)
    assert line_levels(noise).mean() < 0.8


def test_lines_follow_the_shaft_speed():
    at_half_speed = line_levels(knocking(0.5 * SHAFT_HZ * 3.5848), shaft_hz=0.5 * SHAFT_HZ)
    assert at_half_speed[3].mean(-1).argmax() == FAMILIES.index("bpfo")


def test_the_whitened_envelope_sees_a_weak_band_beside_a_loud_tone():
    time_s = np.arange(8192) / RATE_HZ
    loud = torch.tensor(20 * np.sin(2 * math.pi * 1400 * time_s), dtype=torch.float32)
    levels = line_levels(knocking(SHAFT_HZ * 3.5848, noise=0.05) + loud)
    assert levels[-1].mean(-1).argmax() == FAMILIES.index("bpfo")


def test_envelopes_have_zero_mean_and_bursts_are_impulsive():
    envelopes = BandEnvelopes(SETTINGS)(unit_rms(knocking(11.0, noise=0.05)))
    assert envelopes.shape == (1, SETTINGS.n_bands, SETTINGS.envelope_length)
    assert envelopes.mean(-1).abs().max() < 1e-5
    steady = BandEnvelopes(SETTINGS)(
        torch.tensor(np.random.default_rng(0).standard_normal((1, 8192)), dtype=torch.float32)
    )
    assert impulsiveness(envelopes)[0, 3] > impulsiveness(steady)[0, 3]


def test_filters_pass_their_centre_and_stop_what_is_far():
    filters = analytic_filters(torch.tensor([1000.0, 4000.0]), length=48, sampling_rate_hz=RATE_HZ)
    tone = torch.cos(2 * math.pi * 1000.0 * torch.arange(2048) / RATE_HZ)[None]
    power = filtered_power(tone, filters, hop=8).mean(-1)[0]
    assert power[0] == pytest.approx((48 / 4) ** 2, rel=0.1)
    assert power[1] < 1e-4 * power[0]


def test_frames_put_a_tone_in_its_bin_and_do_not_know_the_level():
    tone = torch.sin(2 * math.pi * 2000.0 * torch.arange(8192) / RATE_HZ)[None]
    frames = SpectrogramFrames(SETTINGS)(unit_rms(tone))
    assert frames.shape == (1, SETTINGS.frames, SETTINGS.frame_bins)
    width_hz = RATE_HZ / 2 / SETTINGS.frame_bins
    assert (frames[0].argmax(-1).float() * width_hz - 2000.0).abs().max() <= 2 * width_hz


def build(**changes) -> FrontEnd:
    torch.manual_seed(0)
    return FrontEnd(FrontEndSettings(sampling_rate_hz=RATE_HZ, **changes), hidden_size=16)


def test_level_offset_and_sign_do_not_matter():
    front_end = build().eval()
    waveform = knocking(SHAFT_HZ * 3.5848)
    rate = torch.tensor([SHAFT_HZ])
    expected = front_end(waveform, rate, ORDERS)
    torch.testing.assert_close(front_end(-37.0 * waveform + 5.0, rate, ORDERS), expected, atol=2e-3, rtol=0)


def test_an_unknown_speed_or_bearing_hides_the_lines_and_leaves_the_frames():
    front_end = build().eval()
    waveform, rate = knocking(SHAFT_HZ * 3.5848), torch.tensor([SHAFT_HZ])
    known = front_end(waveform, rate, ORDERS)
    no_speed = front_end(waveform, torch.zeros(1), ORDERS)
    no_bearing = front_end(waveform, rate, torch.zeros(1, 4))
    frames = SETTINGS.frames
    assert known.shape == (1, token_count(SETTINGS), 16)
    torch.testing.assert_close(no_speed, no_bearing)
    torch.testing.assert_close(no_speed[:, :frames], known[:, :frames])
    torch.testing.assert_close(no_speed[0, frames:], front_end.unknown_embedding)
    assert torch.isfinite(no_speed).all()


def test_without_frames_the_lines_alone_are_seen():
    settings = front_end_for(RATE_HZ, 8192, lines_alone=True)
    front_end = FrontEnd(settings, 16).eval()
    waveform, rate = knocking(SHAFT_HZ * 3.5848), torch.tensor([SHAFT_HZ])
    lines = settings.n_bands + len(FAMILIES)
    assert front_end(waveform, rate, ORDERS).shape == (1, lines, 16)
    assert token_count(settings) == front_end.n_tokens == lines
    without_speed = front_end(waveform, torch.zeros(1), ORDERS)
    torch.testing.assert_close(without_speed[0], front_end.unknown_embedding)
    assert front_end.train()(waveform, rate, ORDERS).shape == (1, lines, 16)


def test_training_disturbs_the_features_and_evaluation_does_not():
    front_end = build()
    inputs = (knocking(SHAFT_HZ * 3.5848), torch.tensor([SHAFT_HZ]), ORDERS)
    assert not torch.equal(front_end(*inputs), front_end(*inputs))
    front_end.eval()
    assert torch.equal(front_end(*inputs), front_end(*inputs))


def test_features_stay_in_float32_under_autocast():
    front_end = build().eval()
    inputs = (knocking(SHAFT_HZ * 3.5848), torch.tensor([SHAFT_HZ]), ORDERS)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = front_end(*inputs)
    torch.testing.assert_close(coarse.float(), front_end(*inputs), atol=0.05, rtol=0.02)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"window_length": 256}, "too short"),
        ({"frame_bins": 60}, "divisor"),
        ({"frames": -1}, "must not be negative"),
        ({"band_shares": (0.5, 1.2)}, "between 0 and 1"),
        ({"envelope_hop": 1}, "spectrum_length"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        FrontEndSettings(sampling_rate_hz=RATE_HZ, **changes)
