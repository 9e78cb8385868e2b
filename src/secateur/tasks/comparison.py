"""How a model stands beside another on the same samples, with an interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from secateur.core.errors import DataError
from secateur.core.seeds import generator
from secateur.models.calls import Batch
from secateur.tasks.base import references
from secateur.tasks.figures import Figures
from secateur.tasks.objective import Objective, Tally, tally_of

DRAWS = 1000
COLUMNS = {"classification": "right", "embedding": "cosine"}
"""Of a tally: what is compared by its difference. Losses of language models are compared by their ratio."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A model beside a reference.

    Parameters
    ----------
    figures : Figures
    over_dense : tuple of float or None
        Ratio of the perplexities of a language model; of others, difference in accuracy or similarity. With
        its 95 % interval, from a paired bootstrap over samples. None for the reference itself.
    elsewhere : tuple of float or None
        The same on a text of other kinds; None where the task has none.
    """

    figures: Figures
    over_dense: tuple[float, float, float] | None
    elsewhere: tuple[float, float, float] | None = None


class Comparison:
    """Models on the same samples, against the dense model's answers there.

    Parameters
    ----------
    objective : Objective
    dense : nn.Module
    batches : sequence of dict
        Samples that nothing was fitted to or chosen by.
    """

    def __init__(self, objective: Objective, dense: nn.Module, batches: tuple[Batch, ...]) -> None:
        if not batches:
            raise DataError("no samples are held out for the test; give a longer text or more rows.")
        self._objective, self._batches = objective, batches
        was_training = dense.training
        self._references = references(objective, dense.eval(), batches)
        dense.train(was_training)
        self._dense = self._tally(dense)

    def dense_figures(self, dense: nn.Module) -> Figures:
        """Return the figures of the reference."""
        return self._objective.figures(self._dense, parameters=_count(dense))

    def standing(self, model: nn.Module) -> Standing:
        """Judge a model."""
        tally = self._tally(model)
        return Standing(
            figures=self._objective.figures(tally, parameters=_count(model)),
            over_dense=_beside(self._objective.name, tally, self._dense),
        )

    def _tally(self, model: nn.Module) -> Tally:
        tally = tally_of(self._objective, model, self._batches, self._references)
        if "predicted" in tally:
            tally["right"] = (tally["predicted"] == tally["label"]).double()
        return tally


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _beside(name: str, tally: Tally, other: Tally) -> tuple[float, float, float]:
    column = COLUMNS.get(name, "loss")
    weight = tally["weight"].numpy()
    difference = (tally[column] - other[column]).numpy() * weight
    draw = generator(0, "comparison bootstrap")
    picks = draw.integers(0, len(weight), size=(DRAWS, len(weight)))
    means = difference[picks].sum(axis=1) / np.maximum(weight[picks].sum(axis=1), 1e-9)
    found = np.array([difference.sum() / weight.sum(), *np.quantile(means, (0.025, 0.975))])
    if column == "loss":
        found = np.exp(found)
    return float(found[0]), float(found[1]), float(found[2])
