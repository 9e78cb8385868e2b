"""Uniform random scores: the floor under every criterion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from torch import nn

from secateur.core.seeds import generator
from secateur.models.binding import BoundModel
from secateur.models.calls import Batch
from secateur.scoring.scores import CRITERIA, Needs, Scores


@CRITERIA.register("random")
class Random:
    """Scores drawn uniformly from [0, 1); the seed decides them."""

    needs: ClassVar[Needs] = "nothing"

    def score(self, model: nn.Module, bound: BoundModel, batches: Iterable[Batch], *, seed: int) -> Scores:
        """Draw one number for every unit; neither model nor batches are looked at."""
        del model, batches
        draw = generator(seed, "random-criterion")
        widths = [layer.widths for layer in bound.layers]
        groups = tuple(draw.random(width.groups) for width in widths)
        channels = tuple(draw.random(width.channels) for width in widths)
        return Scores(
            groups=groups,
            channels=channels,
            heads=tuple(draw.random(width.heads) for width in widths),
            cross_groups=tuple(draw.random(width.cross_groups) for width in widths),
            comparable=False,
        )
