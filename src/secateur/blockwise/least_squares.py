"""Ridge least squares from rows that are gone through piece by piece, in the memory of one Gram matrix.

With fewer tokens than inputs the normal equations are solved in their dual form, ``D = R^T (X S X^T + c I)^-1
X S`` with S the inverse pulls of the inputs: a system as large as there are tokens, not inputs. Else the Gram
matrix of the inputs is gathered and factorised in place.

References
----------
Saunders, Gammerman, Vovk, "Ridge Regression Learning Algorithm in Dual Variables", ICML 1998.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import linalg
from torch import Tensor

WIDE = 512
"""Inputs from which on products are taken in float32; the sums over batches are kept wider."""

STRIPE = 1024
"""Inputs, or tokens, that are worked on at once."""

PANEL = 256
"""Inputs whose products are taken at once."""

JUDGED = 1024
"""Held-out tokens by which a ridge is chosen, at most; they are spread evenly."""

QUIET = 1e-3
"""What counts at least as the variance of an input, relative to the mean variance."""

Rows = Callable[[bool], Iterable[tuple[Tensor, Tensor]]]
"""Gives the tokens that are held out, or the others, again at each call: inputs (tokens, inputs) and what is
wanted of them (tokens, outputs)."""


@dataclass(frozen=True, kw_only=True)
class Affine:
    """The present map: ``weight`` (outputs, inputs), and ``bias`` (outputs,) or None."""

    weight: Tensor
    bias: Tensor | None

    def residuals(self, x: Tensor, wanted: Tensor) -> Tensor:
        """Return what is wanted beside what is there, (tokens, outputs), float64 but for wide inputs."""
        dtype = torch.float32 if x.shape[-1] > WIDE else torch.float64
        left = wanted.to(dtype) - x.to(dtype) @ self.weight.T.to(dtype)
        return left if self.bias is None else left - self.bias.to(dtype)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a problem is: tokens to fit, tokens held out, inputs, outputs."""

    fitted: int
    held_out: int
    inputs: int
    outputs: int

    @property
    def is_dual(self) -> bool:
        """Whether there are fewer tokens than inputs."""
        return self.fitted + self.held_out < self.inputs

    @property
    def product(self) -> torch.dtype:
        """Type of the products: those of wide inputs in float32, several times as fast."""
        return torch.float32 if self.inputs > WIDE else torch.float64


@dataclass(frozen=True, kw_only=True)
class Solution:
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

    def change(self, inputs: slice = slice(None)) -> Tensor:
        """Return the columns of ``D`` of some inputs, (outputs, inputs)."""
        if self.basis is None:
            return self.coefficients[inputs].T
        return self.coefficients.T @ self.basis[:, inputs]

    def squared_residual(self, rows: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Return the sum of ``|r - D x - shift|^2`` over tokens; infinite if the solution is not finite."""
        if not torch.isfinite(self.coefficients).all() or not torch.isfinite(self.shift).all():
            return float("inf")
        total = 0.0
        # products in float32 are exact enough to tell solutions apart
        dtype = torch.float32 if len(self.coefficients) > WIDE else self.coefficients.dtype
        coefficients = self.coefficients.to(dtype)
        for x, r in rows:
            for some_x, some_r in zip(x.split(STRIPE), r.split(STRIPE), strict=True):
                some_x = some_x.to(dtype)
                projected = some_x if self.basis is None else some_x @ self.basis.T.to(dtype)
                left = some_r.double() - (projected @ coefficients).double() - self.shift
                total += float(left.square().sum())
        return total


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The solution for the ridge that held-out tokens chose.

    Attributes
    ----------
    ridge : float or None
        None if no ridge brings the held-out residual below the present one.
    solution : Solution or None
        Of all tokens.
    before, after : float
        Mean squared residual of a held-out token: as it is, and under the solution that did not see it.
    """

    ridge: float | None
    solution: Solution | None
    before: float
    after: float


def pull(variances: Tensor) -> Tensor:
    """Return how strongly each input is pulled towards no change, for a ridge of 1.

    In proportion to its variance, as in a ridge regression on standardised inputs: few inputs carry most of
    the variance, and a pull equal for all would leave them free and pin down the rest.
    """
    return variances + QUIET * variances.mean().clamp_min(1e-30)


@torch.autocast("cpu", enabled=False)
def choose_ridge(
    rows: Rows,
    size: Size,
    *,
    present: Affine,
    ridges: Sequence[float],
    gram: torch.dtype = torch.float64,
    rounding: float = 0.0,
) -> Chosen:
    """Choose the ridge by held-out tokens, then solve on all tokens.

    With r the residuals of the present map, a solution minimises ``sum |r - D x - d|^2 + tokens * ridge *
    sum_j pull_j |D_j|^2`` over the columns ``D_j`` of the change, with :func:`pull` of the inputs' variances
    (their mean squares where there is no bias).

    Parameters
    ----------
    rows : callable
        See :data:`Rows`.
    size : Size
    present : Affine
        Without a bias, ``d`` is 0.
    ridges : sequence of float
        Strengths to choose from; see :func:`_downhill`.
    gram : torch.dtype
        Of the Gram matrix where there are at least as many tokens as inputs.
    rounding : float
        Mean squared residual of a token that mere rounding explains: no more than that is left as it is.
    """
    system = (_Dual if size.is_dual else _Primal)(rows, size, present, gram)
    every = -(-size.held_out // JUDGED)
    judged = [(x[::every], present.residuals(x[::every], wanted[::every])) for x, wanted in rows(True)]
    tokens = max(sum(len(x) for x, _ in judged), 1)
    before = sum(float(r.double().square().sum()) for _, r in judged)

    def left_by(ridge: float) -> float:
        found = system.solve(ridge)
        return float("inf") if found is None else found.squared_residual(judged)

    best, least = None, before
    if before > rounding * tokens:
        best, least = _downhill(sorted(ridges), left_by, before)
    solution = None
    if best is not None:
        system.take_in_held_out()
        solution = system.solve(best)
    if solution is None:
        best, least = None, before
    return Chosen(ridge=best, solution=solution, before=before / tokens, after=least / tokens)


def _downhill(
    ridges: Sequence[float], left_by: Callable[[float], float], before: float
) -> tuple[float | None, float]:
    """Return the ridge that leaves least, and what it leaves; None and ``before`` if all leave more.

    What is left falls and rises again with the ridge, so the search begins in the middle and goes on while it
    does not rise, first upwards, where every system can be solved: three or four of five are tried.
    """
    best = len(ridges) // 2
    known = {best: left_by(ridges[best])}
    for step in (1, -1):
        while 0 <= best + step < len(ridges) and best + step not in known:
            known[best + step] = left_by(ridges[best + step])
            if known[best + step] > known[best]:
                break
            best += step
    return (ridges[best], known[best]) if known[best] < before else (None, before)


def fit_bytes(size: Size, gram: torch.dtype) -> int:
    """Return the memory that :func:`choose_ridge` and its result take at most."""
    tokens = size.fitted + size.held_out
    judged = 4 * min(size.held_out, JUDGED) * (size.inputs + size.outputs)
    stripes = judged + 8 * STRIPE * (2 * max(size.inputs, tokens if size.is_dual else 0) + 3 * size.outputs)
    if size.is_dual:
        product = size.product.itemsize
        held = tokens * (size.inputs * product + size.outputs * (8 + 8 + product))
        return held + 2 * 8 * tokens**2 + stripes
    return gram.itemsize * (size.inputs**2 + 3 * size.inputs * size.outputs) + stripes


class _Primal:
    """The normal equations: one symmetric matrix, gathered in its lower triangle."""

    def __init__(self, rows: Rows, size: Size, present: Affine, gram: torch.dtype) -> None:
        self.size, self.rows, self.present = size, rows, present
        self.squares = torch.zeros(size.inputs, size.inputs, dtype=gram)
        self.crosses = torch.zeros(size.inputs, size.outputs, dtype=gram)
        self.sum_x = torch.zeros(size.inputs, dtype=torch.float64)
        self.sum_wanted = torch.zeros(size.outputs, dtype=torch.float64)
        self.tokens = 0
        self.has_bias = present.bias is not None
        self._add(held_out=False)

    def take_in_held_out(self) -> None:
        self._add(held_out=True)

    def _add(self, *, held_out: bool) -> None:
        self.prepared: tuple[Tensor, Tensor, Tensor] | None = None
        for x, wanted in self.rows(held_out):
            self.tokens += len(x)
            self.sum_x += x.sum(dim=0, dtype=torch.float64)
            self.sum_wanted += wanted.sum(dim=0, dtype=torch.float64)
            x, wanted = x.to(self.size.product), wanted.to(self.size.product)
            for begin in range(0, self.size.inputs, PANEL):
                some = x[:, begin : begin + PANEL].T
                self.squares[begin : begin + PANEL, : begin + PANEL] += some @ x[:, : begin + PANEL]
                self.crosses[begin : begin + PANEL] += some @ wanted

    def solve(self, ridge: float) -> Solution | None:
        diagonal = self.squares.diagonal().clone()
        _mirror(self.squares)
        right, mean_x, mean_r = self._residuals()
        if self.has_bias:
            self._shift_centre(mean_x, -self.tokens)
        variances = self.squares.diagonal().double() / self.tokens
        self.squares.diagonal().add_((ridge * self.tokens * pull(variances)).to(right))
        solved = _solved(self.squares, right)
        # the factor took the place of diagonal and upper triangle; the lower one still holds the matrix
        if self.has_bias:
            self._shift_centre(mean_x, self.tokens)
        self.squares.diagonal().copy_(diagonal)
        if solved is None:
            return None
        shift = torch.zeros_like(mean_r)
        if self.present.bias is not None:
            shift = mean_r - (solved.T @ mean_x.to(solved)).double() - self.present.bias.double()
        return Solution(coefficients=solved, basis=None, shift=shift)

    def _residuals(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return products of inputs and residuals, and the means of both: the same for every ridge.

        Residuals lie between what is wanted and what is there. The matrix must be whole.
        """
        if self.prepared is None:
            weight = self.present.weight.T.to(self.squares)
            right = torch.addmm(self.crosses, self.squares, weight, alpha=-1)
            mean_x = self.sum_x / self.tokens
            mean_r = (self.sum_wanted - (self.sum_x.to(weight) @ weight).double()) / self.tokens
            if self.has_bias:
                right.addr_(mean_x.to(right), mean_r.to(right), alpha=-self.tokens)
            self.prepared = right, mean_x, mean_r
        return self.prepared

    def _shift_centre(self, mean: Tensor, tokens: int) -> None:
        mean = mean.to(self.squares)
        self.squares.addr_(mean, mean, alpha=tokens)


class _Dual:
    """The system of the tokens, where they are fewer than the inputs."""

    def __init__(self, rows: Rows, size: Size, present: Affine, gram: torch.dtype) -> None:
        del gram
        self.size, self.rows, self.present = size, rows, present
        self.has_bias = present.bias is not None
        self._gather((False,), size.fitted)

    def take_in_held_out(self) -> None:
        self._gather((False, True), self.size.fitted + self.size.held_out)

    def _gather(self, parts: Sequence[bool], tokens: int) -> None:
        size = self.size
        self.basis = self.right = self.kernel = torch.empty(0)  # lets go of what is there
        basis = torch.empty(tokens, size.inputs, dtype=size.product)
        right = torch.empty(tokens, size.outputs, dtype=torch.float64)
        filled = 0
        for x, wanted in (pair for part in parts for pair in self.rows(part)):
            basis[filled : filled + len(x)] = x
            right[filled : filled + len(x)] = self.present.residuals(x, wanted)
            filled += len(x)
        assert filled == tokens
        self.mean_x = basis.sum(dim=0, dtype=torch.float64) / tokens
        self.mean_r = right.mean(dim=0)
        if self.has_bias:
            basis -= self.mean_x.to(basis)
            right -= self.mean_r
        variances = torch.cat([part.double().square().mean(dim=0) for part in basis.split(STRIPE, dim=1)])
        strengths = pull(variances)
        kernel = torch.zeros(tokens, tokens, dtype=torch.float64)
        for part, strength in zip(basis.split(STRIPE, dim=1), strengths.split(STRIPE), strict=True):
            scaled = part / strength.sqrt().to(part)
            kernel += scaled @ scaled.T
        basis /= strengths.to(basis)
        self.basis, self.right, self.kernel = basis, right, kernel

    def solve(self, ridge: float) -> Solution | None:
        matrix = self.kernel.clone()
        matrix.diagonal().add_(ridge * len(matrix))
        solved = _solved(matrix, self.right)
        if solved is None:
            return None
        shift = 0 * self.mean_r
        if self.has_bias:
            shift = self.mean_r - solved.T @ (self.basis @ self.mean_x.to(self.basis)).double()
        return Solution(coefficients=solved.to(self.basis), basis=self.basis, shift=shift)


def _solved(matrix: Tensor, right: Tensor) -> Tensor | None:
    """Solve a symmetric system in the memory of the matrix; None if it is not positive definite."""
    try:
        # LAPACK counts along columns and sees the transpose: its lower triangle is the upper one here
        factor = linalg.cho_factor(matrix.numpy().T, lower=True, overwrite_a=True, check_finite=False)
    except linalg.LinAlgError:
        return None
    return torch.from_numpy(np.asarray(linalg.cho_solve(factor, right.numpy(), check_finite=False)))


def _mirror(matrix: Tensor) -> None:
    """Copy the lower triangle onto the upper one, a stripe at a time."""
    for begin in range(0, len(matrix), STRIPE):
        end = min(begin + STRIPE, len(matrix))
        matrix[begin:end, end:] = matrix[end:, begin:end].T
        square = matrix[begin:end, begin:end].tril()
        matrix[begin:end, begin:end] = square + square.tril(-1).T
