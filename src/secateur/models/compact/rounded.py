"""A weight matrix rounded to 4 bits: codes, and one scale for each group of inputs of an output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

LARGEST_CODE = 7
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True, eq=False)
class RoundedWeight:
    """Symmetric codes of -7 to 7, each times the scale of its group.

    Parameters
    ----------
    shape : tuple of int
        (outputs, inputs), or the reverse where ``transposed``.
    transposed : bool
        Whether the matrix stands as (inputs, outputs).
    group : int
        Inputs that share a scale; even. The last group of an output may be shorter.
    dtype : torch.dtype
        Of the matrix.
    codes : Tensor of uint8, shape (outputs, groups * group / 2)
        Two a byte, the earlier in the lower half, each raised by 8.
    scales : Tensor of bfloat16, shape (outputs, groups)
        A type of 16 bits that no weight overflows.
    """

    kind: ClassVar = "bits"
    shape: tuple[int, int]
    transposed: bool
    group: int
    dtype: torch.dtype
    codes: Tensor
    scales: Tensor

    @classmethod
    def nearest(cls, weight: Tensor, *, group: int, transposed: bool) -> RoundedWeight:
        """Return the form whose codes are nearest to a matrix, the largest entry of a group being 7."""
        matrix = (weight.T if transposed else weight).detach().cpu().float()
        spare = -matrix.shape[1] % group
        grouped = pad(matrix, (0, spare)).unflatten(1, (-1, group))
        scales = (grouped.abs().amax(dim=2) / LARGEST_CODE).bfloat16()
        wide = scales.float()[..., None]
        steps = torch.where(wide > 0, grouped / torch.where(wide > 0, wide, 1.0), 0.0)
        codes = steps.round().clamp(-LARGEST_CODE, LARGEST_CODE).flatten(1).to(torch.int16) + 8
        packed = (codes[:, 0::2] | (codes[:, 1::2] << 4)).to(torch.uint8)
        rows, columns = weight.shape
        return cls(
            shape=(rows, columns),
            transposed=transposed,
            group=group,
            dtype=weight.dtype,
            codes=packed.contiguous(),
            scales=scales,
        )

    @property
    def tensors(self) -> dict[str, Tensor]:
        """See :class:`CompactWeight`."""
        return {"codes": self.codes, "scales": self.scales}

    @property
    def facts(self) -> dict[str, Any]:
        """See :class:`CompactWeight`."""
        return {
            "shape": list(self.shape),
            "transposed": self.transposed,
            "group": self.group,
            "dtype": str(self.dtype).removeprefix("torch."),
        }

    @property
    def parameters(self) -> int:
        """Entries of the matrix: rounding takes none away."""
        return self.shape[0] * self.shape[1]

    def decoded(self) -> Tensor:
        """See :class:`CompactWeight`."""
        halves = torch.stack((self.codes & 15, self.codes >> 4), dim=-1).flatten(1).float() - 8
        grouped = halves.unflatten(1, (-1, self.group)) * self.scales.float()[..., None]
        inputs = self.shape[0] if self.transposed else self.shape[1]
        matrix = grouped.flatten(1)[:, :inputs].to(self.dtype)
        return (matrix.T if self.transposed else matrix).contiguous()

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> RoundedWeight:
        """See :class:`CompactWeight`."""
        rows, columns, group = map(int, (*facts["shape"], facts["group"]))
        outputs, inputs = (columns, rows) if facts["transposed"] else (rows, columns)
        if group < 2 or group % 2:
            raise ValueError(f"groups of {group} inputs; an even number shares a scale")
        groups, codes, scales = -(-inputs // group), tensors["codes"], tensors["scales"]
        if codes.shape != (outputs, groups * group // 2) or scales.shape != (outputs, groups):
            raise ValueError(f"codes {tuple(codes.shape)} and scales {tuple(scales.shape)}")
        return cls(
            shape=(rows, columns),
            transposed=bool(facts["transposed"]),
            group=group,
            dtype=DTYPES[facts["dtype"]],
            codes=codes,
            scales=scales,
        )
