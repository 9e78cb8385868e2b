"""Both forms of the solution are ridge regression towards no change, and held-out tokens choose the ridge."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from secateur.blockwise import least_squares
from secateur.blockwise.least_squares import Affine, Size, _downhill, choose_ridge, fit_bytes, pull

OUTPUTS = 7


def drawn(tokens: int, inputs: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(4)
    mixing = torch.randn(inputs, inputs, generator=draw, dtype=torch.float64) / inputs**0.5
    x = torch.randn(tokens, inputs, generator=draw, dtype=torch.float64) @ mixing + 0.5
    noise = 0.1 * torch.randn(tokens, OUTPUTS, generator=draw, dtype=torch.float64)
    return x, x[:, :OUTPUTS] - x[:, 1 : OUTPUTS + 1] + noise + 2


def present_map(inputs: int, outputs: int, *, has_bias: bool) -> Affine:
    draw = torch.Generator().manual_seed(9)
    weight = torch.randn(outputs, inputs, generator=draw, dtype=torch.float64)
    return Affine(weight=weight, bias=weight[:, 0] if has_bias else None)


def chosen(x: Tensor, r: Tensor, ridges, *, has_bias=False, gram=torch.float64):
    """Every fourth token is held out; rows come eleven at a time. ``r`` is what the present map leaves."""
    held_out = torch.arange(len(x)) % 4 == 3
    present = present_map(x.shape[1], r.shape[1], has_bias=has_bias)
    wanted = r.double() + x.double() @ present.weight.T + (present.bias if has_bias else 0)

    def rows(of_held_out):
        part = held_out == of_held_out
        return zip(x[part].split(11), wanted[part].split(11), strict=True)

    count = int(held_out.sum())
    size = Size(fitted=len(x) - count, held_out=count, inputs=x.shape[1], outputs=r.shape[1])
    return choose_ridge(rows, size, present=present, ridges=ridges, gram=gram), held_out


def expected(x: Tensor, r: Tensor, ridge: float, *, has_bias: bool) -> tuple[Tensor, Tensor]:
    """The same problem with the ridge as additional rows of a least-squares system."""
    mean_x, mean_r = (x.mean(0), r.mean(0)) if has_bias else (0 * x[0], 0 * r[0])
    centred = x - mean_x
    strengths = len(x) * ridge * pull(centred.square().mean(0))
    rows = torch.cat([centred, torch.diag(strengths.sqrt())])
    wanted = torch.cat([r - mean_r, torch.zeros(x.shape[1], r.shape[1], dtype=r.dtype)])
    change = torch.linalg.lstsq(rows, wanted).solution.T
    return change, mean_r - change @ mean_x


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize(("tokens", "inputs"), [(20, 33), (33, 33), (90, 33)])
@pytest.mark.parametrize("stripe", [5, 1024])
def test_the_solution_is_ridge_regression(tokens, inputs, has_bias, stripe, monkeypatch):
    monkeypatch.setattr(least_squares, "STRIPE", stripe)
    monkeypatch.setattr(least_squares, "PANEL", stripe)
    x, r = drawn(tokens, inputs)
    ridges = (10.0, 1e-2, 3.0)
    found, held_out = chosen(x, r, ridges, has_bias=has_bias)
    left = {}
    for ridge in ridges:
        change, shift = expected(x[~held_out], r[~held_out], ridge, has_bias=has_bias)
        left[ridge] = float((r - x @ change.T - shift)[held_out].square().sum(1).mean())
    best = min(left, key=left.get)
    assert found.ridge == best
    assert found.before == pytest.approx(float(r[held_out].square().sum(1).mean()))
    assert found.after == pytest.approx(left[best], rel=1e-6)
    change, shift = expected(x, r, best, has_bias=has_bias)
    torch.testing.assert_close(found.solution.change(), change, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found.solution.change(slice(4, 9)), change[:, 4:9], rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found.solution.shift, shift, rtol=1e-7, atol=1e-9)


def test_noise_is_held_down_by_a_strong_ridge_and_what_does_not_help_is_not_taken():
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(60, 40, generator=draw, dtype=torch.float64)
    r = x[:, :2] + 2 * torch.randn(60, 2, generator=draw, dtype=torch.float64)
    found, _ = chosen(x, r, (1e-6, 1e-2, 1.0, 10.0))
    assert found.ridge in (1.0, 10.0)
    noise = torch.randn(60, 2, generator=draw, dtype=torch.float64)
    found, _ = chosen(x, noise, (1e-9,))
    assert (found.ridge, found.solution) == (None, None)
    assert found.after == found.before


def test_a_ridge_is_judged_by_a_spread_of_the_held_out_tokens(monkeypatch):
    x, r = drawn(400, 9)
    whole, _ = chosen(x, r, (0.1,))
    monkeypatch.setattr(least_squares, "JUDGED", 25)
    part, _ = chosen(x, r, (0.1,))
    torch.testing.assert_close(part.solution.change(), whole.solution.change())
    assert part.after == pytest.approx(whole.after, rel=0.3)
    assert part.after != whole.after


def test_a_single_precision_gram_matrix_is_near():
    x, r = drawn(90, 33)
    fine, coarse = (chosen(x, r, (1e-3,), gram=gram)[0].solution for gram in (torch.float64, torch.float32))
    assert coarse.coefficients.dtype == torch.float32
    torch.testing.assert_close(coarse.change().double(), fine.change(), rtol=1e-2, atol=1e-3)


def test_inputs_that_are_all_zero_change_nothing():
    found, _ = chosen(torch.zeros(40, 6), torch.ones(40, OUTPUTS), (1e-3,), has_bias=True)
    assert found.solution.change().abs().max() == 0
    assert found.after == pytest.approx(0)


def test_few_tokens_need_less_memory_than_many():
    def needed(tokens, gram):
        return fit_bytes(Size(fitted=tokens, held_out=0, inputs=13696, outputs=4096), gram)

    assert needed(1536, torch.float64) < 600e6
    assert needed(100_000, torch.float64) == needed(13696, torch.float64)
    assert needed(100_000, torch.float32) < needed(100_000, torch.float64)


@pytest.mark.parametrize(
    "left", [(5, 4, 3, 2, 1), (1, 2, 3, 4, 5), (3, 2, 1, 2, 3), (2, 1, 3, 4, 5), (9, 9, 9, 9, 9)]
)
@pytest.mark.parametrize("unsolved", [0, 2, 4])
def test_the_search_finds_the_ridge_that_leaves_least(left, unsolved):
    """Of any valley; small ridges may have systems that cannot be solved."""
    found = [float("inf")] * unsolved + [float(value) for value in left[unsolved:]]
    tried = []

    def left_by(ridge):
        tried.append(ridge)
        return found[int(ridge)]

    ridge, least = _downhill(range(5), left_by, before=8.0)
    assert least == min(*found, 8.0)
    assert (ridge is None) == (min(found) >= 8)
    assert ridge is None or found[int(ridge)] == least
    assert len(tried) == len(set(tried))
