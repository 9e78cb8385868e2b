"""A weight matrix with zeros: where its other entries are, and their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseWeight:
    """A bit for each entry, and the values of the entries that are not zero.

    Parameters
    ----------
    shape : tuple of int
        (rows, columns).
    kept : Tensor of uint8, shape (ceil(rows * columns / 8),)
        Row by row, the lowest bit first.
    values : Tensor, shape (entries,)
        In the same order.
    """

    kind: ClassVar = "mask"
    shape: tuple[int, int]
    kept: Tensor
    values: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> SparseWeight:
        """Return the form of a matrix, whose zeros are taken as they are."""
        flat = weight.detach().cpu().reshape(-1)
        present = flat != 0
        bits = np.packbits(present.numpy(), bitorder="little")
        rows, columns = weight.shape
        return cls(shape=(rows, columns), kept=torch.from_numpy(bits), values=flat[present].clone())

    @property
    def tensors(self) -> dict[str, Tensor]:
        """See :class:`CompactWeight`."""
        return {"kept": self.kept, "values": self.values}

    @property
    def facts(self) -> dict[str, Any]:
        """See :class:`CompactWeight`."""
        return {"shape": list(self.shape)}

    @property
    def parameters(self) -> int:
        """Entries that are not zero."""
        return len(self.values)

    def decoded(self) -> Tensor:
        """See :class:`CompactWeight`."""
        rows, columns = self.shape
        bits = np.unpackbits(self.kept.numpy(), count=rows * columns, bitorder="little").astype(bool)
        flat = torch.zeros(rows * columns, dtype=self.values.dtype)
        flat[torch.from_numpy(bits)] = self.values
        return flat.reshape(rows, columns)

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> SparseWeight:
        """See :class:`CompactWeight`."""
        rows, columns = map(int, facts["shape"])
        kept, values = tensors["kept"], tensors["values"]
        if kept.dtype != torch.uint8 or kept.shape != (-(-rows * columns // 8),):
            raise ValueError(f"{tuple(kept.shape)} bytes of bits for {rows} x {columns} entries")
        if values.shape != (int(np.unpackbits(kept.numpy()).sum()),):
            raise ValueError(f"{tuple(values.shape)} values do not fit the bits")
        return cls(shape=(rows, columns), kept=kept, values=values)
