"""Uniform random scores: the floor under every criterion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from torch import nn

from secateur.core.seeds import generator
from secateur.models.binding import BoundModel
from secateur.models.calls import Batch
from secateur.scoring.scores import CRITERIA, Needs, Scores
from secateur.structure.shape import ModelShape


@CRITERIA.register("random")
class Random:
    """Scores drawn uniformly from [0, 1); the seed decides them."""

    needs: ClassVar[Needs] = "nothing"

    def score(self, model: nn.Module, bound: BoundModel, batches: Iterable[Batch], *, seed: int) -> Scores:
        """Draw one number for every unit; neither model nor batches are looked at."""
        del model, batches
        return drawn_scores(bound.shape, seed=seed)


def drawn_scores(shape: ModelShape, *, seed: int) -> Scores:
    """Draw one number for every unit of a model of this shape."""
    draw = generator(seed, "random-criterion")
    groups = tuple(map(draw.random, shape.kv_groups_per_layer))
    channels = tuple(map(draw.random, shape.channels_per_layer))
    return Scores(
        groups=groups,
        channels=channels,
        heads=tuple(map(draw.random, shape.heads_per_layer)),
        cross_groups=tuple(map(draw.random, shape.cross_groups_per_layer)),
        comparable=False,
    )
