"""One walk through the blocks, with the streams of the dense and of the cut model side by side.

In front of each block wait two residual streams of the same calibration samples. The dense block goes first
and leaves what it adds to its stream as a target; then a visitor changes the weights of the cut block, whose
input is what all cut blocks before it, already changed, give. Where activations wait and where blocks come
from does not matter here: in memory a block is a module of a model, on disk it is read for its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from secateur.blockwise.block import OUTPUTS, Branch, Output, See, advance, branches_of
from secateur.blockwise.samples import Samples
from secateur.models.binding import BoundLayer
from secateur.tasks.precision import scoring_autocast

DENSE, CUT = "dense", "cut"
"""Names of the two streams."""


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What a dense block did with the samples.

    Attributes
    ----------
    layer : int
        Its index.
    samples : Samples
    branches : dict of Branch or None
        How its projections' outputs enter the stream; None where they are not just added.
    """

    layer: int
    samples: Samples
    branches: dict[Output, Branch] | None

    def output(self, name: Output, batch: int) -> Tensor:
        """Return the output of a projection, (B, T, hidden)."""
        return self.samples.activations.get(_target(name), batch)

    def forget(self, batch: int) -> None:
        """Let go of the outputs of a batch, which nobody will ask for again."""
        for name in OUTPUTS:
            self.samples.activations.drop(_target(name), batch)

    def front(self, batch: int) -> Tensor:
        """Return the stream in front of the block, (B, T, hidden)."""
        return self.samples.activations.get(f"{DENSE}.{self.layer}", batch)


class Visitor(Protocol):
    """A use of the walk: a re-fit, a mask, a rounding of the weights of one block after the other."""

    def visit(self, layer: BoundLayer, samples: Samples, taught: Taught) -> bool:
        """Change the weights of a cut block, in front of which its stream waits.

        Returns
        -------
        bool
            Whether the stream behind the block, with its new weights, was put as well.
        """


def rounding(layer: BoundLayer, *, rounds: bool) -> AbstractContextManager:
    """Return the context in which a block passes samples, and its weights may change.

    In models of text a float32 block multiplies in bfloat16 where the processor does so in hardware, as in
    scoring; the streams keep their type. See :func:`secateur.tasks.precision.scoring_autocast`.
    """
    weight = next(layer.module.parameters())
    wide = weight.dtype == torch.float32
    return scoring_autocast(weight.device, rounds=rounds and wide, weights_stay=False)


@torch.no_grad()
def pass_dense(layer: BoundLayer, samples: Samples, see: Sequence[See] = ()) -> Taught:
    """Send the dense stream through a block, and keep what its projections put out."""
    activations, mask = samples.activations, samples.masks[0]

    def keep(batch: int, name: Output, _inputs: Tensor, output: Tensor) -> None:
        activations.put(_target(name), batch, output)

    advance(layer, samples, DENSE, (keep, *see))
    before, after = (activations.get(f"{DENSE}.{at}", 0) for at in (layer.index, layer.index + 1))
    outputs = {name: activations.get(_target(name), 0) for name in OUTPUTS}
    branches = branches_of(layer, before, after, outputs, mask)
    return Taught(layer=layer.index, samples=samples, branches=branches)


@torch.no_grad()
def pass_cut(layer: BoundLayer, samples: Samples, taught: Taught, visitor: Visitor) -> None:
    """Let a visitor change a cut block, and send the cut stream through it."""
    if not visitor.visit(layer, samples, taught):
        advance(layer, samples, CUT)
    for name in OUTPUTS:
        samples.activations.drop(_target(name))


def _target(name: Output) -> str:
    return f"target-{name}"
