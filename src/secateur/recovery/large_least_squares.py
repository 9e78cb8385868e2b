"""Ridge least squares for wide inputs in bounded memory; the solution is that of ``least_squares.solve``.

With fewer tokens than inputs the normal equations are solved in their dual form, ``D = R^T (X X^T + c I)^-1
X``: a system as large as there are tokens, not inputs. Else the Gram matrix of the inputs is gathered in one
piece of memory and factorised in place.

References
----------
Saunders, Gammerman, Vovk, "Ridge Regression Learning Algorithm in Dual Variables", ICML 1998.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from scipy import linalg
from torch import Tensor

from secateur.recovery.least_squares import WIDE

STRIPE = 1024
"""Inputs, or tokens, that are worked on at once."""

Rows = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Gives all tokens again at each call: inputs (tokens, inputs) and residuals (tokens, outputs)."""


@dataclass(frozen=True, kw_only=True)
class RidgeFit:
    """The change ``D`` of a weight and the ``shift`` of its bias, in factored form.

    Attributes
    ----------
    coefficients : Tensor, shape (tokens or inputs, outputs)
        Of the inputs themselves, or of the rows in ``basis``.
    basis : Tensor or None, shape (tokens, inputs)
        None where ``coefficients`` is already ``D^T``.
    shift : Tensor of float64, shape (outputs,)
    """

    coefficients: Tensor
    basis: Tensor | None
    shift: Tensor

    def change(self, inputs: slice) -> Tensor:
        """Return the columns of ``D`` of some inputs, (outputs, inputs)."""
        if self.basis is None:
            return self.coefficients[inputs].T
        return self.coefficients.T @ self.basis[:, inputs]

    def squared_residual(self, rows: Rows) -> float:
        """Return the sum of ``|r - D x - shift|^2`` over tokens."""
        total = 0.0
        for x, r in rows():
            for some_x, some_r in zip(x.split(STRIPE), r.split(STRIPE), strict=True):
                some_x = some_x.to(self.coefficients.dtype)
                projected = some_x if self.basis is None else some_x @ self.basis.T
                left = some_r.double() - (projected @ self.coefficients).double() - self.shift
                total += float(left.square().sum())
        return total

    @property
    def is_finite(self) -> bool:
        """Whether the solution can be used."""
        return bool(torch.isfinite(self.coefficients).all() and torch.isfinite(self.shift).all())


def fit_ridge(
    rows: Rows,
    *,
    n_tokens: int,
    n_inputs: int,
    n_outputs: int,
    ridge: float,
    has_bias: bool,
    gram: torch.dtype = torch.float64,
) -> RidgeFit | None:
    """Return the change that brings the residual down most, shrunk towards none.

    Parameters
    ----------
    rows : callable
        See :data:`Rows`.
    n_tokens, n_inputs, n_outputs : int
    ridge : float
        Relative to the mean variance of the inputs; see :func:`secateur.recovery.least_squares.solve`.
    has_bias : bool
        Without one, the shift is 0.
    gram : torch.dtype
        Of the Gram matrix where there are at least as many tokens as inputs.

    Returns
    -------
    RidgeFit or None
        None if the Gram matrix is numerically not positive definite.
    """
    try:
        if n_tokens < n_inputs:
            return _dual(rows, n_tokens, n_inputs, n_outputs, ridge=ridge, has_bias=has_bias)
        return _primal(rows, n_tokens, n_inputs, n_outputs, ridge=ridge, has_bias=has_bias, gram=gram)
    except linalg.LinAlgError:
        return None


def fit_bytes(n_tokens: int, n_inputs: int, n_outputs: int, gram: torch.dtype) -> int:
    """Return the memory that :func:`fit_ridge` and its result take at most."""
    stripes = 8 * STRIPE * (2 * max(n_inputs, n_tokens) + 3 * n_outputs)
    if n_tokens < n_inputs:
        product = _product(n_inputs).itemsize
        rows = n_tokens * (n_inputs * product + n_outputs * (8 + 8 + product))
        return rows + 2 * 8 * n_tokens**2 + stripes
    return gram.itemsize * (n_inputs**2 + n_inputs * n_outputs) + stripes


def _dual(
    rows: Rows, n_tokens: int, n_inputs: int, n_outputs: int, *, ridge: float, has_bias: bool
) -> RidgeFit:
    inputs = torch.empty(n_tokens, n_inputs, dtype=_product(n_inputs))
    residuals = torch.empty(n_tokens, n_outputs, dtype=torch.float64)
    filled = 0
    for x, r in rows():
        inputs[filled : filled + len(x)] = x
        residuals[filled : filled + len(r)] = r
        filled += len(x)
    assert filled == n_tokens
    mean_x = inputs.sum(dim=0, dtype=torch.float64) / n_tokens
    mean_r = residuals.mean(dim=0)
    if has_bias:
        inputs -= mean_x.to(inputs.dtype)
        residuals -= mean_r
    kernel = torch.zeros(n_tokens, n_tokens, dtype=torch.float64)
    for part in inputs.split(STRIPE, dim=1):
        kernel += part @ part.T
    kernel.diagonal().add_(_damping(kernel.diagonal().sum(), n_inputs, ridge))
    factor = linalg.cho_factor(kernel.numpy().T, lower=True, overwrite_a=True, check_finite=False)
    solved = torch.from_numpy(linalg.cho_solve(factor, residuals.numpy(), check_finite=False))
    coefficients = solved.to(inputs.dtype)
    shift = torch.zeros(n_outputs, dtype=torch.float64)
    if has_bias:
        shift = mean_r - (solved.T @ (inputs @ mean_x.to(inputs.dtype)).double())
    return RidgeFit(coefficients=coefficients, basis=inputs, shift=shift)


def _primal(
    rows: Rows,
    n_tokens: int,
    n_inputs: int,
    n_outputs: int,
    *,
    ridge: float,
    has_bias: bool,
    gram: torch.dtype,
) -> RidgeFit:
    squares = torch.zeros(n_inputs, n_inputs, dtype=gram)
    crosses = torch.zeros(n_outputs, n_inputs, dtype=gram)
    sum_x = torch.zeros(n_inputs, dtype=torch.float64)
    sum_r = torch.zeros(n_outputs, dtype=torch.float64)
    product = _product(n_inputs)
    for x, r in rows():
        sum_x += x.sum(dim=0, dtype=torch.float64)
        sum_r += r.sum(dim=0, dtype=torch.float64)
        x, r = x.to(product), r.to(product)
        for begin in range(0, n_inputs, STRIPE):
            some = x[:, begin : begin + STRIPE]
            squares[begin : begin + STRIPE] += some.T @ x
            crosses[:, begin : begin + STRIPE] += r.T @ some
    mean_x, mean_r = sum_x / n_tokens, sum_r / n_tokens
    if has_bias:
        squares.addr_(mean_x.to(gram), mean_x.to(gram), alpha=-n_tokens)
        crosses.addr_(mean_r.to(gram), mean_x.to(gram), alpha=-n_tokens)
    squares.diagonal().add_(_damping(squares.diagonal().double().sum(), n_inputs, ridge))
    factor = linalg.cho_factor(squares.numpy().T, lower=True, overwrite_a=True, check_finite=False)
    solved = linalg.cho_solve(factor, crosses.numpy().T, overwrite_b=True, check_finite=False)
    coefficients = torch.from_numpy(np.asarray(solved))
    shift = torch.zeros(n_outputs, dtype=torch.float64)
    if has_bias:
        shift = mean_r - (coefficients.T @ mean_x.to(gram)).double()
    return RidgeFit(coefficients=coefficients, basis=None, shift=shift)


def _damping(trace: Tensor, n_inputs: int, ridge: float) -> float:
    """``ridge`` times the mean variance, in the scale of sums over tokens."""
    return max(ridge * float(trace) / n_inputs, 1e-30)


def _product(n_inputs: int) -> torch.dtype:
    """Products of wide inputs are taken in float32, as in ``least_squares``."""
    return torch.float32 if n_inputs > WIDE else torch.float64
