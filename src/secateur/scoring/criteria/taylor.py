"""First-order Taylor estimate of the loss that removing a unit costs, taken token by token."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import nn

from secateur.core.errors import ConfigError
from secateur.models.binding import BoundModel
from secateur.models.calls import Batch
from secateur.scoring.gates import unit_gradients
from secateur.scoring.objective import backward_passes
from secateur.scoring.scores import CRITERIA, Needs, ScoredKind, Scores
from secateur.structure.spec import WidthKind
from secateur.tasks.classification import task_loss
from secateur.tasks.objective import SummedLoss


def taylor_terms(z: torch.Tensor, gradient: torch.Tensor, n_units: int) -> torch.Tensor:
    """Sum over tokens of ``|sum over the unit's dimensions of z * dL/dz|``.

    Parameters
    ----------
    z, gradient : Tensor, shape (B, T, n_units * width)
        Input of an output projection, and the gradient of the loss with respect to it.
    n_units : int
        Units side by side in the last dimension.

    Returns
    -------
    Tensor of float64, shape (n_units,)
        The absolute value is taken per token, before tokens are added: with signs the terms of one unit
        cancel and wide units (groups) come out far too cheap beside narrow ones (channels).
    """
    products = (z.float() * gradient.float()).unflatten(-1, (n_units, -1)).sum(dim=-1)
    return products.abs().flatten(0, -2).sum(dim=0).double()


def dimension_terms(z: torch.Tensor, gradient: torch.Tensor, n_units: int) -> torch.Tensor:
    """Sum over tokens and over the unit's dimensions of ``|z * dL/dz|``; as :func:`taylor_terms` otherwise.

    The same for channels. A unit of many dimensions is charged as if they were units of their own: in a
    ranking, what many narrow units cost together is the sum of absolute values too.
    """
    products = (z.float() * gradient.float()).abs().flatten(0, -2).sum(dim=0)
    return products.double().unflatten(-1, (n_units, -1)).sum(dim=-1)


Gates = Literal["unit", "dimension"]
TERMS: dict[Gates, Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]] = {
    "unit": taylor_terms,
    "dimension": dimension_terms,
}


@CRITERIA.register("taylor")
class Taylor:
    """Estimated increase in task loss, by a first-order expansion in a gate on each unit.

    Comparable over groups, channels and layers, because each number estimates the same loss: the task's
    cross-entropy of a classifier, that of the next token of a causal language model, and the response of the
    embedding of an encoder without a task.

    Parameters
    ----------
    loss : callable
        ``loss(logits, labels)`` summed over samples; the task's cross-entropy by default.
    gates : {"unit", "dimension"}
        On what gates are put. With one on each unit, groups and heads of a language model come out too cheap
        beside channels, because the terms of their dimensions cancel; see :func:`dimension_terms`.

    References
    ----------
    Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, equation 8, with the
    absolute value moved inside the sum over tokens.
    """

    needs: ClassVar[Needs] = "gradients"

    def __init__(self, loss: SummedLoss = task_loss, *, gates: Gates = "unit") -> None:
        self.loss, self.gates = loss, gates

    def score(
        self,
        model: nn.Module,
        bound: BoundModel,
        batches: Iterable[Batch],
        *,
        seed: int,
    ) -> Scores:
        """Score every unit; the numbers are mean loss a sample, and do not depend on the batch size."""
        layers = bound.layers
        totals: dict[tuple[ScoredKind, int], torch.Tensor] = {
            (kind, layer.index): torch.zeros(layer.units(kind), dtype=torch.float64)
            for layer in layers
            for kind in ("group", "head", "cross_group", "channel")
        }

        terms = TERMS[self.gates]

        def visit(kind: WidthKind, position: int, z: torch.Tensor, gradient: torch.Tensor) -> None:
            for own in ("group", "head") if kind == "group" else (kind,):
                total = totals[own, position]
                total += terms(z, gradient, len(total)).cpu()

        with unit_gradients(bound, visit):
            samples = backward_passes(model, batches, self.loss, seed=seed)
        if samples == 0:
            raise ConfigError("the Taylor criterion was given no calibration sample; it needs at least one.")

        def mean(kind: ScoredKind, position: int) -> np.ndarray:
            return (totals[kind, position] / samples).numpy()

        return Scores.gathered(mean, len(layers), comparable=True)
