"""Scores of the rows and columns of each matrix by itself, as a treatment without closed units has them.

Every matrix ranks its own features: output features of ``q``, ``k``, ``v``, ``gate`` and ``up``, input
features of ``o`` and ``down``. In attention the features of one head count together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from secateur.core.errors import ConfigError
from secateur.models.binding import BoundLayer, BoundModel, BoundProjection
from secateur.models.calls import Batch, run
from secateur.models.frozen import frozen
from secateur.structure.closure import role_features
from secateur.structure.spec import OUTPUT_ROLES, Role
from secateur.tasks.classification import task_loss
from secateur.tasks.predictions import predictions

MatrixCriterion = Literal["magnitude", "activation", "taylor"]
MatrixScores = tuple[dict[Role, np.ndarray], ...]
"""For each layer, role -> float64 (units,): query heads, key/value heads or channels."""

Visit = Callable[[int, BoundProjection, Tensor, Tensor | None], None]


def matrix_scores(
    model: nn.Module, bound: BoundModel, batches: Iterable[Batch], *, criterion: MatrixCriterion
) -> MatrixScores:
    """Score the features of every matrix alone; higher matters more.

    Parameters
    ----------
    model : torch.nn.Module
        A classifier of windows, or a causal language model for ``taylor``.
    bound : BoundModel
        Its binding.
    batches : iterable of dict
        Calibration batches; not looked at by ``magnitude``.
    criterion : {"magnitude", "activation", "taylor"}
        - magnitude: root mean square, over the features of a unit, of the norm of a row (column);
        - activation: sum over tokens of the squared output feature, a sample; for an input feature z of ``o``
          and ``down``, of z^2 times the squared norm of its column; summed over a head;
        - taylor: sum over tokens of ``|sum over the unit of feature x dL/dfeature|``, a sample.

    Raises
    ------
    ConfigError
        If a criterion that looks at samples is given none.
    """
    if criterion == "magnitude":
        return tuple(_magnitudes(layer) for layer in bound.layers)
    totals: MatrixScores = tuple({} for _ in bound.layers)

    def visit(position: int, projection: BoundProjection, feature: Tensor, gradient: Tensor | None) -> None:
        layer = bound.layers[position]
        for role, places in _places(layer, projection).items():
            if gradient is None:
                values = feature[..., places].double().square().sum(dim=-1)
            else:
                products = feature.float() * gradient.float()
                values = products[..., places].sum(dim=-1).abs().double()
            summed = values.flatten(0, -2).sum(dim=0).cpu().numpy()
            totals[position][role] = totals[position].get(role, 0.0) + summed

    samples = 0
    with frozen(model), _features(bound, visit, gradients=criterion == "taylor"):
        for batch in batches:
            if criterion == "taylor":
                with torch.enable_grad():
                    found = predictions(model, batch)
                    task_loss(found.logits, found.labels).backward()
            else:
                with torch.no_grad():
                    run(model, batch)
            samples += len(next(iter(batch.values())))
    if samples == 0:
        raise ConfigError(f"the {criterion} scores were given no calibration sample; give at least one.")
    return tuple({role: total / samples for role, total in layer.items()} for layer in totals)


@torch.no_grad()
def _magnitudes(layer: BoundLayer) -> dict[Role, np.ndarray]:
    found = {}
    for projection in layer.all_projections:
        squares = projection.weight.double().square().sum(dim=1 - projection.spec.unit_axis)
        for role, places in _places(layer, projection).items():
            found[role] = squares[places].mean(dim=-1).sqrt().cpu().numpy()
    return found


def _places(layer: BoundLayer, projection: BoundProjection) -> dict[Role, Tensor]:
    """Return the features of each unit along the unit axis, (units, features of one), by role."""
    return {
        role: torch.from_numpy(
            places.reshape(-1, places.shape[-1]) if projection.spec.kind != "channel" else places[:, None]
        )
        for role, places in role_features(projection.spec, layer.widths).items()
    }


@contextmanager
def _features(bound: BoundModel, visit: Visit, *, gradients: bool) -> Iterator[None]:
    """Call ``visit(layer, projection, feature, its gradient or None)`` for every matrix of every batch.

    The feature is the output, for output projections the input; without gradients the latter comes scaled by
    the norm of its column, so that its square is the energy that it sends on.
    """

    def seen(position: int, projection: BoundProjection, feature: Tensor) -> Tensor:
        if not gradients:
            visit(position, projection, feature, None)
            return feature
        if not feature.requires_grad:
            feature = feature.detach().requires_grad_(True)
        value = feature.detach()
        feature.register_hook(lambda gradient: visit(position, projection, value, gradient.detach()))
        return feature

    def before(position: int, projection: BoundProjection) -> Callable:
        def hook(_module: nn.Module, args: tuple) -> tuple:
            if gradients:
                return (seen(position, projection, args[0]), *args[1:])
            norms = projection.weight.norm(dim=1 - projection.spec.unit_axis)
            seen(position, projection, args[0] * norms)
            return args

        return hook

    def after(position: int, projection: BoundProjection) -> Callable:
        return lambda _module, _args, output: seen(position, projection, output)

    with ExitStack() as hooks:
        for position, layer in enumerate(bound.layers):
            for projection in layer.all_projections:
                module = projection.module
                if projection.spec.roles[0] in OUTPUT_ROLES:
                    hooks.enter_context(module.register_forward_pre_hook(before(position, projection)))
                else:
                    hooks.enter_context(module.register_forward_hook(after(position, projection)))
        yield
