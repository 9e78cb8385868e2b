"""Uniform random scores: the floor under every criterion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from torch import nn

from secateur.core.seeds import generator
from secateur.models.binding import BoundModel
from secateur.scoring.calibration import Batch
from secateur.scoring.scores import CRITERIA, Scores


@CRITERIA.register("random")
class Random:
    """Scores drawn uniformly from [0, 1); the seed decides them."""

    needs: ClassVar = "nothing"

    def score(self, model: nn.Module, bound: BoundModel, batches: Iterable[Batch], *, seed: int) -> Scores:
        """Draw one number for every unit; neither model nor batches are looked at."""
        del model, batches
        draw = generator(seed, "random-criterion")
        return Scores(
            groups=tuple(draw.random(layer.n_groups) for layer in bound.layers),
            channels=tuple(draw.random(layer.n_channels) for layer in bound.layers),
            comparable=False,
        )
