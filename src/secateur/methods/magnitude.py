"""Unstructured magnitude pruning: the smallest weights of each matrix become zero."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from secateur.methods.base import METHODS
from secateur.methods.weights import Matrices, WeightMethod, largest_share
from secateur.models.compact.form import CompactWeight
from secateur.models.compact.sparse import SparseWeight


@METHODS.register("magnitude")
class Magnitude(WeightMethod):
    """Zeros in place of the smallest weights, the same share of each matrix; at least one weight stays.

    The budget counts parameters that are not zero. Shapes stay, so that a runtime without sparse kernels is
    no faster; the checkpoint stores a bit for each entry and the values that stay.

    References
    ----------
    Han, Pool, Tran and Dally, "Learning both Weights and Connections for Efficient Neural Networks",
    arXiv 1506.02626, 2015.
    """

    name: ClassVar = "magnitude"
    unit: ClassVar = "non-zero parameters"

    def least(self, matrices: Matrices) -> int:
        """See :class:`WeightMethod`."""
        return len(matrices)

    def forms(self, matrices: Matrices, allowed: int) -> dict[str, CompactWeight]:
        """See :class:`WeightMethod`."""

        def kept(entries: int, share: float) -> int:
            return max(1, int(share * entries))

        def cost(share: float) -> int:
            return sum(kept(matrix.entries, share) for matrix in matrices.values())

        share = largest_share(cost, allowed)
        return {
            name: SparseWeight.of(largest_entries(matrix.weight, kept(matrix.entries, share)))
            for name, matrix in matrices.items()
        }


def largest_entries(weight: Tensor, count: int) -> Tensor:
    """Return a matrix whose entries are zero but for the largest ``count``; of equal ones the first stay."""
    flat = weight.detach().cpu().reshape(-1)
    chosen = torch.argsort(flat.abs(), descending=True, stable=True)[:count]
    return torch.zeros_like(flat).index_copy(0, chosen, flat[chosen]).reshape(weight.shape)
