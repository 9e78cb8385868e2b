"""Mean squares of what enters the output projections of a block, seen while a stream passes it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from secateur.blockwise.block import OUTPUTS, Output
from secateur.structure.spec import WidthKind

TOKENS_AT_ONCE = 256


class Energies:
    """Sums over the tokens that are no padding.

    Parameters
    ----------
    masks : sequence of Tensor of bool, shape (B, T)
        One a batch.
    """

    def __init__(self, masks: Sequence[Tensor]) -> None:
        self._masks = masks
        self._sums: dict[WidthKind, Tensor] = {}
        self._tokens: dict[WidthKind, int] = {}

    def see(self, batch: int, name: Output, inputs: Tensor, _output: Tensor) -> None:
        """Add the tokens of a batch; see :data:`secateur.blockwise.block.See`."""
        kind, tokens = OUTPUTS[name], inputs[self._masks[batch]]
        # some tokens at a time, because float64 is large
        parts = [part.double().square().sum(dim=0) for part in tokens.split(TOKENS_AT_ONCE)]
        self._sums[kind] = self._sums.get(kind, 0.0) + torch.stack(parts).sum(dim=0)
        self._tokens[kind] = self._tokens.get(kind, 0) + len(tokens)

    def mean_squares(self) -> dict[WidthKind, Tensor]:
        """Return E[z^2] of each input, by kind of unit, float64."""
        return {kind: total / self._tokens[kind] for kind, total in self._sums.items()}
