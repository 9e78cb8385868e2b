"""Where the front end looks for lines."""

from __future__ import annotations

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.models.front_end.line_orders import geometry_figures, line_orders
from secateur.models.front_end.settings import FrontEndSettings
from secateur.models.front_end.tokens import FrontEnd, token_count

ORDERS = torch.tensor([[3.05, 4.95, 3.98, 0.38]])
PLAIN = FrontEndSettings(sampling_rate_hz=12_000.0)
CONTEXT = FrontEndSettings(
    sampling_rate_hz=12_000.0, window_length=16_384, spectrum_length=4_096, peak_points=17, context=True
)


def test_own_lines_are_harmonics():
    orders = line_orders(ORDERS, PLAIN)
    assert orders.shape == (1, 5, 4)
    assert orders[0, 1].tolist() == pytest.approx([4.95, 9.90, 14.85, 19.80])
    assert orders[0, 4].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_context_holds_sidebands_and_shaft_multiples():
    orders = line_orders(ORDERS, CONTEXT)[0]
    found = dict(zip(CONTEXT.families, orders.tolist(), strict=True))
    assert found["bpfi_side"] == pytest.approx([3.95, 5.95, 8.90, 10.90])
    assert found["bsf2_side"] == pytest.approx([3.60, 4.36, 7.58, 8.34])
    assert found["shaft_high"] == [5.0, 6.0, 7.0, 8.0]
    assert found["beside_bsf2"] == [2.0, 3.0, 5.0, 6.0]


def test_distance_to_shaft_multiples_is_told_in_points():
    figures = geometry_figures(torch.tensor([30.0]), ORDERS, CONTEXT)
    assert figures.shape == (1, 18)
    assert figures[0, 8].item() == pytest.approx(0.02 * 30.0 / CONTEXT.resolution_hz / 8.0, rel=1e-3)


def test_context_adds_tokens():
    tokens = FrontEnd(CONTEXT, 16).eval()(
        torch.randn(2, 16_384), torch.tensor([30.0, 0.0]), ORDERS.repeat(2, 1)
    )
    assert tokens.shape == (2, token_count(CONTEXT), 16)
    assert token_count(CONTEXT) == 8 + 8 + 12 + 1


def test_described_windows_give_the_same_tokens():
    front_end = FrontEnd(CONTEXT, 16).eval()
    inputs = (torch.randn(2, 16_384), torch.tensor([30.0, 25.0]), ORDERS.repeat(2, 1))
    described = front_end.described(*inputs)
    assert torch.equal(front_end.tokens(*described, *inputs[1:]), front_end(*inputs))


@pytest.mark.parametrize(
    "wrong", [{"context": True, "harmonics": 3}, {"peak_points": 0}, {"floor_points": 5}]
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError):
        FrontEndSettings(sampling_rate_hz=12_000.0, **wrong)
