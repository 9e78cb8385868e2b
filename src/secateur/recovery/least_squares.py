"""Ridge least squares from running sums: of constant size, whatever the number of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

WIDE = 1024
"""Inputs from which on products are taken in float32."""


@dataclass(kw_only=True)
class Moments:
    """Sums over tokens of inputs ``x`` and residuals ``r``, in float64, of constant size.

    Parameters
    ----------
    n_inputs, n_outputs : int
    """

    n_inputs: int
    n_outputs: int
    tokens: int = 0
    target_square: float = 0.0
    rr: float = 0.0
    xx: Tensor = field(init=False)
    xr: Tensor = field(init=False)
    x: Tensor = field(init=False)
    r: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.xx = torch.zeros(self.n_inputs, self.n_inputs, dtype=torch.float64)
        self.xr = torch.zeros(self.n_inputs, self.n_outputs, dtype=torch.float64)
        self.x = torch.zeros(self.n_inputs, dtype=torch.float64)
        self.r = torch.zeros(self.n_outputs, dtype=torch.float64)

    def add(self, inputs: Tensor, residuals: Tensor, targets: Tensor) -> None:
        """Add tokens, of shape (..., features).

        Products of wide inputs are taken in float32, a batch at a time, and summed in float64; products in
        float64 would take most of a re-fit's time and change nothing (bfloat16 would ruin it).
        """
        x, r = inputs.flatten(0, -2).cpu(), residuals.flatten(0, -2).cpu()
        product = torch.float32 if self.n_inputs > WIDE else torch.float64
        self.tokens += len(x)
        self.target_square += float(targets.double().square().sum())
        self.rr += float(r.double().square().sum())
        self.x += x.double().sum(dim=0)
        self.r += r.double().sum(dim=0)
        x, r = x.to(product), r.to(product)
        with torch.autocast("cpu", enabled=False):
            self.xx += x.T @ x
            self.xr += x.T @ r

    def with_those_of(self, other: Moments) -> Moments:
        """Return the moments of the tokens of both."""
        both = Moments(n_inputs=self.n_inputs, n_outputs=self.n_outputs)
        for name in ("tokens", "target_square", "rr", "xx", "xr", "x", "r"):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        return both

    def squared_residual(self, change: Tensor, shift: Tensor) -> float:
        """Sum of ``|r - change x - shift|^2`` over the tokens; ``change`` is (outputs, inputs)."""
        total = self.rr - 2 * (change.T * self.xr).sum() + ((change @ self.xx) * change).sum()
        total += self.tokens * shift.square().sum() - 2 * shift @ (self.r - change @ self.x)
        return float(total)


QUIET = 1e-3
"""What counts at least as the variance of an input, relative to the mean variance."""


def pull(variances: Tensor) -> Tensor:
    """Return how strongly each input is pulled towards no change, for a ridge of 1.

    In proportion to its variance, as in a ridge regression on standardised inputs: few inputs carry most of
    the variance, and a pull equal for all would leave them free and pin down the rest.
    """
    return variances + QUIET * variances.mean().clamp_min(1e-30)


def solve(moments: Moments, *, ridge: float, has_bias: bool) -> tuple[Tensor, Tensor]:
    """Return the change of weight and bias that brings the residual down most, shrunk towards none.

    Minimises ``sum |r - D x - d|^2 + tokens * ridge * sum_j pull_j |D_j|^2`` over the columns ``D_j`` of the
    change, with :func:`pull` of the inputs' variances (their mean squares where there is no bias).

    Parameters
    ----------
    moments : Moments
    ridge : float
    has_bias : bool
        Without one, ``d`` is 0.

    Returns
    -------
    (Tensor, Tensor)
        ``D`` of shape (outputs, inputs) and ``d`` of shape (outputs,), float64.
    """
    n = moments.tokens
    covariance, cross = moments.xx / n, moments.xr / n
    mean_x, mean_r = moments.x / n, moments.r / n
    if has_bias:
        covariance = covariance - torch.outer(mean_x, mean_x)
        cross = cross - torch.outer(mean_x, mean_r)
    damped = covariance + torch.diag(ridge * pull(covariance.diagonal()))
    change = torch.linalg.solve(damped, cross).T
    shift = mean_r - change @ mean_x if has_bias else torch.zeros_like(mean_r)
    return change, shift


def solve_best(
    fitted: Moments, held_out: Moments, *, ridges: Sequence[float], has_bias: bool
) -> tuple[Tensor, Tensor, float] | None:
    """Choose the ridge by samples that were held out, then solve on all samples.

    Returns
    -------
    tuple or None
        Change, shift and the residual of the held-out samples under the solution that did not see them; None
        if none of the ridges brings that below the present one.
    """
    best, least = None, held_out.rr
    for ridge in ridges:
        change, shift = solve(fitted, ridge=ridge, has_bias=has_bias)
        left = held_out.squared_residual(change, shift)
        if left < least and torch.isfinite(change).all():
            best, least = ridge, left
    if best is None:
        return None
    return *solve(fitted.with_those_of(held_out), ridge=best, has_bias=has_bias), least
