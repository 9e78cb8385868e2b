"""A weight matrix as the product of two narrow ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class LowRankWeight:
    """``left @ right``, multiplied in float64 and rounded to the type of the factors.

    Parameters
    ----------
    left : Tensor, shape (rows, rank)
    right : Tensor, shape (rank, columns)
    """

    kind: ClassVar = "factors"
    left: Tensor
    right: Tensor

    @classmethod
    def nearest(cls, weight: Tensor, *, rank: int) -> LowRankWeight:
        """Return the closest matrix of a rank in the Frobenius norm: the truncated SVD (Eckart & Young 1936).

        Parameters
        ----------
        weight : Tensor, shape (rows, columns)
        rank : int
            1 to the smaller side.
        """
        left, values, right = torch.linalg.svd(weight.detach().cpu().double(), full_matrices=False)
        roots = values[:rank].sqrt()
        return cls(
            left=(left[:, :rank] * roots).to(weight.dtype).contiguous(),
            right=(roots[:, None] * right[:rank]).to(weight.dtype).contiguous(),
        )

    @property
    def tensors(self) -> dict[str, Tensor]:
        """See :class:`CompactWeight`."""
        return {"left": self.left, "right": self.right}

    @property
    def facts(self) -> dict[str, Any]:
        """See :class:`CompactWeight`."""
        return {}

    @property
    def parameters(self) -> int:
        """Entries of both factors."""
        return self.left.numel() + self.right.numel()

    def decoded(self) -> Tensor:
        """See :class:`CompactWeight`."""
        return (self.left.double() @ self.right.double()).to(self.left.dtype)

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> LowRankWeight:
        """See :class:`CompactWeight`."""
        del facts
        return cls(left=tensors["left"], right=tensors["right"])
