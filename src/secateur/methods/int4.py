"""Rounding to 4 bits: the weights of a matrix take the nearest of 15 steps of their group's scale."""

from __future__ import annotations

from typing import ClassVar

from secateur.methods.base import METHODS
from secateur.methods.weights import Matrices, Matrix, WeightMethod, relative_error
from secateur.models.compact.form import CompactWeight, stored_bytes
from secateur.models.compact.rounded import RoundedWeight

GROUP = 32
"""Inputs that share a scale, as in int4 bundles."""


@METHODS.register("int4")
class Int4(WeightMethod):
    """Matrices rounded to the nearest, those that lose least first, until the budget is met.

    The budget counts bytes of the stored tensors. A rounded weight takes 4.5 bits; matrices that the budget
    leaves room for stay as they are.
    """

    name: ClassVar = "int4"
    unit: ClassVar = "bytes"

    def least(self, matrices: Matrices) -> int:
        """See :class:`WeightMethod`."""
        return sum(min(rounded_bytes(matrix), matrix.n_bytes) for matrix in matrices.values())

    def forms(self, matrices: Matrices, allowed: int) -> dict[str, CompactWeight]:
        """See :class:`WeightMethod`."""
        rounded = {
            name: RoundedWeight.nearest(matrix.weight, group=GROUP, transposed=matrix.transposed)
            for name, matrix in matrices.items()
            if rounded_bytes(matrix) < matrix.n_bytes
        }
        errors = {name: relative_error(matrices[name].weight, form) for name, form in rounded.items()}
        remaining = sum(matrix.n_bytes for matrix in matrices.values())
        chosen: dict[str, CompactWeight] = {}
        for name in sorted(rounded, key=lambda name: errors[name]):
            if remaining <= allowed:
                break
            chosen[name] = rounded[name]
            remaining -= matrices[name].n_bytes - stored_bytes(rounded[name])
        return {name: chosen[name] for name in matrices if name in chosen}


def rounded_bytes(matrix: Matrix) -> int:
    """Return the bytes of a matrix once it is rounded: half a byte a weight, two a group."""
    rows, columns = matrix.weight.shape
    outputs, inputs = (columns, rows) if matrix.transposed else (rows, columns)
    groups = -(-inputs // GROUP)
    return outputs * groups * (GROUP // 2 + 2)
