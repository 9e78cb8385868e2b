"""Truncated SVD: each weight matrix becomes the product of two narrow ones."""

from __future__ import annotations

from typing import ClassVar

from secateur.methods.base import METHODS
from secateur.methods.weights import Matrices, Matrix, WeightMethod, largest_share
from secateur.models.compact.form import CompactWeight
from secateur.models.compact.low_rank import LowRankWeight


@METHODS.register("svd")
class Svd(WeightMethod):
    """Factors of the rank that leaves each matrix the same share of its parameters; at least rank 1.

    The budget counts parameters of the factors. A matrix whose factors would not be smaller stays whole.
    Shapes stay: models multiply the factors when they are loaded.
    """

    name: ClassVar = "svd"

    def least(self, matrices: Matrices) -> int:
        """See :class:`WeightMethod`."""
        return sum(_cost(matrix, 0.0) for matrix in matrices.values())

    def forms(self, matrices: Matrices, allowed: int) -> dict[str, CompactWeight]:
        """See :class:`WeightMethod`."""
        share = largest_share(
            lambda share: sum(_cost(matrix, share) for matrix in matrices.values()), allowed
        )
        return {
            name: LowRankWeight.nearest(matrix.weight, rank=_rank(matrix, share))
            for name, matrix in matrices.items()
            if _cost(matrix, share) < matrix.entries
        }


def _rank(matrix: Matrix, share: float) -> int:
    return max(1, int(share * matrix.entries / sum(matrix.weight.shape)))


def _cost(matrix: Matrix, share: float) -> int:
    return min(_rank(matrix, share) * sum(matrix.weight.shape), matrix.entries)
