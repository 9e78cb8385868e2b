"""Ridge least squares for wide inputs in bounded memory; the solution is that of ``least_squares.solve``.

With fewer tokens than inputs the normal equations are solved in their dual form, ``D = R^T (X S X^T + c I)^-1
X S`` with S the inverse pulls of the inputs: a system as large as there are tokens, not inputs. Else the Gram
matrix of the inputs is gathered in one piece of memory and factorised in place.

References
----------
Saunders, Gammerman, Vovk, "Ridge Regression Learning Algorithm in Dual Variables", ICML 1998.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import linalg
from torch import Tensor

from secateur.recovery.least_squares import WIDE, pull

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


def fit_ridges(
    rows: Rows,
    *,
    n_tokens: int,
    n_inputs: int,
    n_outputs: int,
    ridges: Sequence[float],
    has_bias: bool,
    gram: torch.dtype = torch.float64,
) -> Iterator[RidgeFit | None]:
    """Yield for each ridge the change that brings the residual down most, shrunk towards none.

    Tokens are gone through once for all ridges. A fit may be used until the next is asked for.

    Parameters
    ----------
    rows : callable
        See :data:`Rows`.
    n_tokens, n_inputs, n_outputs : int
    ridges : sequence of float
        See :func:`secateur.recovery.least_squares.solve`.
    has_bias : bool
        Without one, the shift is 0.
    gram : torch.dtype
        Of the Gram matrix where there are at least as many tokens as inputs.

    Yields
    ------
    RidgeFit or None
        None if the matrix is numerically not positive definite.
    """
    if n_tokens < n_inputs:
        yield from _dual(rows, n_tokens, n_inputs, n_outputs, ridges=ridges, has_bias=has_bias)
    else:
        yield from _primal(rows, n_tokens, n_inputs, n_outputs, ridges=ridges, has_bias=has_bias, gram=gram)


def fit_bytes(n_tokens: int, n_inputs: int, n_outputs: int, gram: torch.dtype) -> int:
    """Return the memory that :func:`fit_ridges` and a result take at most."""
    stripes = 8 * STRIPE * (2 * max(n_inputs, n_tokens) + 3 * n_outputs)
    if n_tokens < n_inputs:
        product = _product(n_inputs).itemsize
        rows = n_tokens * (n_inputs * product + n_outputs * (8 + 8 + product))
        return rows + 2 * 8 * n_tokens**2 + stripes
    return gram.itemsize * (n_inputs**2 + 2 * n_inputs * n_outputs) + stripes


def _dual(
    rows: Rows, n_tokens: int, n_inputs: int, n_outputs: int, *, ridges: Sequence[float], has_bias: bool
) -> Iterator[RidgeFit | None]:
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
    strengths = pull(torch.cat([part.double().square().mean(dim=0) for part in inputs.split(STRIPE, dim=1)]))
    kernel = torch.zeros(n_tokens, n_tokens, dtype=torch.float64)
    for part, strength in zip(inputs.split(STRIPE, dim=1), strengths.split(STRIPE), strict=True):
        scaled = part / strength.to(part.dtype).sqrt()
        kernel += scaled @ scaled.T
    inputs /= strengths.to(inputs.dtype)
    added = (torch.full((n_tokens,), ridge * n_tokens, dtype=torch.float64) for ridge in ridges)
    projected_mean = inputs @ mean_x.to(inputs.dtype)
    for solved in _solutions(kernel, added, residuals):
        yield _fit(solved, inputs, projected_mean, mean_r, has_bias=has_bias)


def _primal(
    rows: Rows,
    n_tokens: int,
    n_inputs: int,
    n_outputs: int,
    *,
    ridges: Sequence[float],
    has_bias: bool,
    gram: torch.dtype,
) -> Iterator[RidgeFit | None]:
    squares = torch.zeros(n_inputs, n_inputs, dtype=gram)
    crosses = torch.zeros(n_inputs, n_outputs, dtype=gram)
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
            crosses[begin : begin + STRIPE] += some.T @ r
    mean_x, mean_r = sum_x / n_tokens, sum_r / n_tokens
    if has_bias:
        squares.addr_(mean_x.to(gram), mean_x.to(gram), alpha=-n_tokens)
        crosses.addr_(mean_x.to(gram), mean_r.to(gram), alpha=-n_tokens)
    strengths = pull(squares.diagonal().double() / n_tokens)
    added = (ridge * n_tokens * strengths for ridge in ridges)
    for solved in _solutions(squares, added, crosses):
        yield _fit(solved, None, mean_x, mean_r, has_bias=has_bias)


def _fit(
    solved: Tensor | None, basis: Tensor | None, mean: Tensor, mean_r: Tensor, *, has_bias: bool
) -> RidgeFit | None:
    """Complete a solution by its shift; ``mean`` is that of what the coefficients are multiplied with."""
    if solved is None:
        return None
    coefficients = solved if basis is None else solved.to(basis.dtype)
    shift = torch.zeros_like(mean_r)
    if has_bias:
        shift = mean_r - (solved.T @ mean.to(solved.dtype)).double()
    return RidgeFit(coefficients=coefficients, basis=basis, shift=shift)


def _solutions(matrix: Tensor, diagonals: Iterable[Tensor], right: Tensor) -> Iterator[Tensor | None]:
    """Solve ``(matrix + diag(d)) x = right`` for each d in the memory of the one symmetric matrix.

    A factor takes the place of one triangle; the other still holds the matrix, from which it is restored.
    """
    diagonal = matrix.diagonal().clone()
    for number, added in enumerate(diagonals):
        if number:
            _restore(matrix)
        matrix.diagonal().copy_(diagonal + added.to(matrix.dtype))
        try:
            # LAPACK counts along columns and sees the transpose: its lower triangle is the upper one here
            factor = linalg.cho_factor(matrix.numpy().T, lower=True, overwrite_a=True, check_finite=False)
        except linalg.LinAlgError:
            yield None
            continue
        yield torch.from_numpy(np.asarray(linalg.cho_solve(factor, right.numpy(), check_finite=False)))


def _restore(matrix: Tensor) -> None:
    """Copy the lower triangle onto the upper one, a stripe at a time."""
    for begin in range(0, len(matrix), STRIPE):
        end = min(begin + STRIPE, len(matrix))
        matrix[begin:end, end:] = matrix[end:, begin:end].T
        square = matrix[begin:end, begin:end].tril()
        matrix[begin:end, begin:end] = square + square.tril(-1).T


def _product(n_inputs: int) -> torch.dtype:
    """Products of wide inputs are taken in float32, as in ``least_squares``."""
    return torch.float32 if n_inputs > WIDE else torch.float64
