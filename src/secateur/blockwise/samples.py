"""Calibration samples in front of the blocks: embedded once, with everything that blocks are called with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from secateur.blockwise.activations import Activations
from secateur.core.errors import ConfigError
from secateur.models.binding import BoundModel
from secateur.models.block_inputs import BlockCall, BlockInputs, inputs_of_run
from secateur.models.calls import Batch, run, token_mask

HELD_OUT_EVERY = 4
"""Every fourth sample is not fitted, so that what was fitted can be judged by it."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Windows, blocks of text or sentences on their way through the blocks.

    Attributes
    ----------
    calls : tuple of tuple of BlockCall
        For each batch, what each block is called with beside the residual stream.
    masks : tuple of Tensor of bool, shape (B, T)
        For each batch, which tokens are data and not padding.
    activations : Activations
        Holds the residual streams: ``name.3`` is the stream ``name`` in front of block 3.
    """

    calls: tuple[tuple[BlockCall, ...], ...]
    masks: tuple[Tensor, ...]
    activations: Activations

    @property
    def batches(self) -> range:
        """Numbers of the batches."""
        return range(len(self.masks))

    @property
    def count(self) -> int:
        """Samples of all batches."""
        return sum(len(mask) for mask in self.masks)

    @property
    def tokens(self) -> int:
        """Tokens of all samples."""
        return sum(int(mask.sum()) for mask in self.masks)

    @property
    def fitted_tokens(self) -> int:
        """Tokens of the samples that are not held out."""
        return sum(int(self.chosen(batch, held_out=False).sum()) for batch in self.batches)

    def chosen(self, batch: int, *, held_out: bool | None = None) -> Tensor:
        """Return the tokens of a batch, bool (B, T): those held out, the others, or all."""
        mask = self.masks[batch]
        if held_out is None:
            return mask
        first = sum(len(former) for former in self.masks[:batch])
        kept_back = (first + torch.arange(len(mask))) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        return mask & (kept_back == held_out)[:, None]


@torch.no_grad()
def embed(
    bound: BoundModel,
    batches: Sequence[Batch],
    activations: Activations,
    streams: Sequence[str],
    *,
    call: Callable[[Batch], Any] | None = None,
) -> Samples:
    """Send samples through what stands in front of the blocks.

    Parameters
    ----------
    bound : BoundModel
        What is used in front of the blocks must have its weights.
    batches : sequence of dict of Tensor
    activations : Activations
    streams : sequence of str
        Names under which the stream in front of the first block is put.
    call : callable, optional
        How the model is called on a batch; it is ended behind the last block.

    Raises
    ------
    UnsupportedArchitecture
        If the model is no single stack of blocks.
    """
    inputs: list[BlockInputs] = []
    masks: list[Tensor] = []
    for number, batch in enumerate(batches):
        found = inputs_of_run(bound, partial(call, batch) if call else partial(run, bound.model, batch))
        mask = token_mask(batch)
        masks.append(torch.ones(found.stream.shape[:2], dtype=torch.bool) if mask is None else mask.cpu())
        for name in streams:
            activations.put(f"{name}.0", number, found.stream)
        found = replace(found, stream=torch.empty(0))
        inputs.append(found.sharing(inputs[-1]) if inputs else found)
    return Samples(calls=tuple(entry.calls for entry in inputs), masks=tuple(masks), activations=activations)


def require_enough(count: int) -> None:
    """Check that some samples can be held out.

    Raises
    ------
    ConfigError
    """
    if count < HELD_OUT_EVERY:
        raise ConfigError(
            f"{count} calibration samples were given; a re-fit needs at least {HELD_OUT_EVERY}: give a "
            "longer text, or more rows."
        )
