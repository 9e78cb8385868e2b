"""What a compression saves, in the unit that its budget counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

CostUnit = Literal["parameters", "non-zero parameters", "bytes"]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The whole model before and after, embeddings and head included.

    Parameters
    ----------
    unit : {"parameters", "non-zero parameters", "bytes"}
        Bytes are those of the stored tensors.
    dense, remaining : int
    """

    unit: CostUnit
    dense: int
    remaining: int

    @property
    def ratio(self) -> float:
        """Dense over remaining."""
        return self.dense / self.remaining

    def to_json(self) -> dict[str, Any]:
        """Return the fields and the ratio as JSON values."""
        return {"unit": self.unit, "dense": self.dense, "remaining": self.remaining, "ratio": self.ratio}
