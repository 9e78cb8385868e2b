"""Both forms of the bounded solution are the one that the plain normal equations give."""

from __future__ import annotations

from unittest import mock

import pytest
import torch

from secateur.recovery import large_least_squares
from secateur.recovery.large_least_squares import fit_bytes, fit_ridges
from secateur.recovery.least_squares import Moments, solve

OUTPUTS, RIDGE = 7, 1e-3


def rows_of(tokens: int, inputs: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    draw = torch.Generator().manual_seed(4)
    mixing = torch.randn(inputs, inputs, generator=draw, dtype=torch.float64) / inputs**0.5
    x = (torch.randn(tokens, inputs, generator=draw, dtype=torch.float64) @ mixing + 0.5).float()
    r = (x[:, :OUTPUTS] - x[:, 1 : OUTPUTS + 1] + 0.1 * torch.randn(tokens, OUTPUTS, generator=draw)) + 2
    return list(zip(x.split(11), r.split(11), strict=True))


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize(("tokens", "inputs"), [(20, 33), (33, 33), (90, 33)])
@pytest.mark.parametrize("stripe", [5, 1024])
def test_the_solution_is_that_of_the_normal_equations(tokens: int, inputs: int, has_bias: bool, stripe: int):
    rows = rows_of(tokens, inputs)
    moments = Moments(n_inputs=inputs, n_outputs=OUTPUTS)
    for x, r in rows:
        moments.add(x, r, r)
    change, shift = solve(moments, ridge=RIDGE, has_bias=has_bias)
    with mock.patch.object(large_least_squares, "STRIPE", stripe):
        fits = fit_ridges(
            lambda: rows,
            n_tokens=tokens,
            n_inputs=inputs,
            n_outputs=OUTPUTS,
            ridges=(10.0, RIDGE, 10.0),
            has_bias=has_bias,
        )
        first = next(fits).change(slice(0, inputs)).clone()
        fit = next(fits)
        found = fit.change(slice(0, inputs)).double()
        torch.testing.assert_close(found, change, rtol=1e-8, atol=1e-9)
        torch.testing.assert_close(fit.change(slice(4, 9)), fit.change(slice(0, inputs))[:, 4:9])
        torch.testing.assert_close(fit.shift, shift, rtol=1e-8, atol=1e-9)
        left = fit.squared_residual(lambda: rows)
        # the matrix is restored between one ridge and the next
        torch.testing.assert_close(next(fits).change(slice(0, inputs)), first)
        assert not torch.allclose(first.double(), found, rtol=1e-2)
    assert left == pytest.approx(moments.squared_residual(change, shift), rel=1e-6)


def test_a_single_precision_gram_matrix_is_near():
    rows = rows_of(90, 33)
    given = {"n_tokens": 90, "n_inputs": 33, "n_outputs": OUTPUTS, "ridges": (RIDGE,), "has_bias": False}
    (fine,), (coarse,) = (
        fit_ridges(lambda: rows, gram=gram, **given) for gram in (torch.float64, torch.float32)
    )
    assert fine is not None
    assert coarse is not None
    assert coarse.coefficients.dtype == torch.float32
    torch.testing.assert_close(
        coarse.change(slice(None)).double(), fine.change(slice(None)), rtol=1e-2, atol=1e-3
    )


def test_inputs_that_are_all_zero_change_nothing():
    rows = [(torch.zeros(40, 6), torch.ones(40, OUTPUTS))]
    [fit] = fit_ridges(
        lambda: rows, n_tokens=40, n_inputs=6, n_outputs=OUTPUTS, ridges=(RIDGE,), has_bias=False
    )
    assert fit is not None
    assert fit.change(slice(0, 6)).abs().max() == 0


def test_few_tokens_need_less_memory_than_many():
    few = fit_bytes(1536, 13696, 4096, torch.float64)
    many = fit_bytes(100_000, 13696, 4096, torch.float64)
    assert few < 600e6
    assert many == fit_bytes(13696, 13696, 4096, torch.float64) + 8 * 1024 * 2 * (100_000 - 13696)
    assert fit_bytes(100_000, 13696, 4096, torch.float32) < many
