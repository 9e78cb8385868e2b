"""What a compact form of one weight matrix can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

from torch import Tensor


class CompactWeight(Protocol):
    """A weight matrix told by fewer numbers, or by numbers of fewer bits.

    Attributes
    ----------
    kind : {"mask", "bits", "factors"}
    """

    kind: ClassVar[str]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What a file holds of it, by name."""

    @property
    def facts(self) -> dict[str, Any]:
        """What else is needed to read it, as JSON values."""

    @property
    def parameters(self) -> int:
        """Numbers that can differ from zero."""

    def decoded(self) -> Tensor:
        """Return the matrix, (rows, columns)."""

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Self:
        """Read a form back from :attr:`tensors` and :attr:`facts`.

        Raises
        ------
        KeyError, ValueError, TypeError, RuntimeError
            If they do not fit each other.
        """


def stored_bytes(form: CompactWeight) -> int:
    """Return the bytes that the tensors of a form take in a file."""
    return sum(tensor.numel() * tensor.element_size() for tensor in form.tensors.values())
