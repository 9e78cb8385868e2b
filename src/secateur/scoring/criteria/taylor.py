"""First-order Taylor estimate of the loss that removing a unit costs, taken token by token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from secateur.core.errors import ConfigError
from secateur.models.binding import BoundModel
from secateur.scoring.calibration import Batch, frozen, logits_of
from secateur.scoring.gates import UnitKind, unit_gradients
from secateur.scoring.objective import SummedLoss, task_loss
from secateur.scoring.scores import CRITERIA, Scores


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
    return products.abs().double().flatten(0, -2).sum(dim=0)


@CRITERIA.register("taylor")
class Taylor:
    """Estimated increase in task loss, by a first-order expansion in a gate on each unit.

    Comparable over groups, channels and layers, because each number estimates the same loss.

    Parameters
    ----------
    loss : callable
        ``loss(logits, labels)`` summed over samples; the task's cross-entropy by default.

    References
    ----------
    Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, equation 8, with the
    absolute value moved inside the sum over tokens.
    """

    needs: ClassVar = "gradients"

    def __init__(self, loss: SummedLoss = task_loss) -> None:
        self.loss = loss

    def score(
        self,
        model: nn.Module,
        bound: BoundModel,
        batches: Iterable[Batch],
        *,
        seed: int,
    ) -> Scores:
        """Score every unit; the numbers are mean loss a sample, and do not depend on the batch size."""
        del seed
        totals: dict[UnitKind, list[torch.Tensor]] = {
            "group": [torch.zeros(layer.n_groups, dtype=torch.float64) for layer in bound.layers],
            "channel": [torch.zeros(layer.n_channels, dtype=torch.float64) for layer in bound.layers],
        }

        def visit(kind: UnitKind, position: int, z: torch.Tensor, gradient: torch.Tensor) -> None:
            total = totals[kind][position]
            total += taylor_terms(z, gradient, len(total)).cpu()

        samples = 0
        with frozen(model), unit_gradients(bound, visit), torch.enable_grad():
            for batch in batches:
                self.loss(logits_of(model, batch), batch["label"]).backward()
                samples += len(batch["label"])
        if samples == 0:
            raise ConfigError("the Taylor criterion was given no calibration sample; it needs at least one.")

        def means(kind: UnitKind) -> tuple[np.ndarray, ...]:
            return tuple((total / samples).numpy() for total in totals[kind])

        return Scores(groups=means("group"), channels=means("channel"), comparable=True)
