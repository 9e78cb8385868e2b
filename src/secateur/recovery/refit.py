"""Least-squares re-fit of output projections to what the dense model put out at the same place.

A cut takes units out of the input of each output projection. The units that stay are correlated
with those that left, so better weights for them exist in closed form: the ones whose output is
closest to the dense projection's output on calibration windows. Projections are re-fitted from the
first layer to the last, each on the input that the layers before it, already re-fitted, now give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from secateur.core.errors import ConfigError, PlanError
from secateur.core.progress import progress
from secateur.models.binding import BoundLayer, bind
from secateur.structure.plan import PruningPlan
from secateur.structure.spec import WidthKind
from secateur.training.batches import Batch, forward

HELD_OUT_EVERY = 4

Output = Literal["attention_output", "ffn_output"]
OUTPUTS: dict[Output, WidthKind] = {"attention_output": "group", "ffn_output": "channel"}


@dataclass(frozen=True, kw_only=True)
class ProjectionRefit:
    """What became of one projection.

    Parameters
    ----------
    layer, dense_layer : int
        Index in the cut and in the dense model.
    projection : {'attention_output', 'ffn_output'}
    residual_before, residual_after : float
        Squared distance to the dense output over its squared size, on held-out windows, with the
        former and the present weights.
    adopted : bool
        Whether the new weights were taken; if they did not help on held-out windows they were not.
    """

    layer: int
    dense_layer: int
    projection: Output
    residual_before: float
    residual_after: float
    adopted: bool


@dataclass(frozen=True, kw_only=True)
class RefitReport:
    """What a re-fit did.

    Parameters
    ----------
    windows : int
        Calibration windows, held-out ones included.
    adopted : int
        Projections that took new weights.
    projections : tuple of ProjectionRefit
        First layer first.
    """

    windows: int
    adopted: int
    projections: tuple[ProjectionRefit, ...]


class _ReachedError(Exception):
    """Ends a forward pass at the projection of interest."""


@torch.no_grad()
def _seen_by(model: nn.Module, projection: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return input and output of a projection on a batch, float64, (windows, tokens, features)."""
    seen = []

    def catch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.extend([inputs[0].double(), output.double()])
        raise _ReachedError

    handle = projection.register_forward_hook(catch)
    try:
        forward(model, batch)
    except _ReachedError:
        pass
    finally:
        handle.remove()
    return seen[0], seen[1]


@dataclass(kw_only=True)
class Moments:
    """Sums over tokens of inputs ``x`` and residuals ``r``, in float64, of constant size.

    Parameters
    ----------
    n_inputs, n_outputs : int
    """

    n_inputs: int
    n_outputs: int
    tokens: int = 0
    target_square: float = 0.0
    rr: float = 0.0
    xx: Tensor = field(init=False)
    xr: Tensor = field(init=False)
    x: Tensor = field(init=False)
    r: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.xx = torch.zeros(self.n_inputs, self.n_inputs, dtype=torch.float64)
        self.xr = torch.zeros(self.n_inputs, self.n_outputs, dtype=torch.float64)
        self.x = torch.zeros(self.n_inputs, dtype=torch.float64)
        self.r = torch.zeros(self.n_outputs, dtype=torch.float64)

    def add(self, inputs: Tensor, residuals: Tensor, targets: Tensor) -> None:
        """Add tokens: float64 of shape (..., features)."""
        x, r = inputs.flatten(0, -2).cpu(), residuals.flatten(0, -2).cpu()
        self.tokens += len(x)
        self.target_square += float(targets.square().sum())
        self.rr += float(r.square().sum())
        self.xx += x.T @ x
        self.xr += x.T @ r
        self.x += x.sum(dim=0)
        self.r += r.sum(dim=0)

    def squared_residual(self, change: Tensor, shift: Tensor) -> float:
        """Sum of ``|r - change x - shift|^2`` over the tokens; ``change`` is (outputs, inputs)."""
        total = self.rr - 2 * (change.T * self.xr).sum() + ((change @ self.xx) * change).sum()
        total += self.tokens * shift.square().sum() - 2 * shift @ (self.r - change @ self.x)
        return float(total)


def solve(moments: Moments, *, ridge: float, has_bias: bool) -> tuple[Tensor, Tensor]:
    """Return the change of weight and bias that brings the residual down most, shrunk towards none.

    Minimises ``sum |r - D x - d|^2 + tokens * lambda * |D|^2`` with ``lambda`` as ``ridge`` times the
    mean variance of the inputs (their mean square where there is no bias), so that directions which
    calibration hardly excites keep the weights they have.

    Parameters
    ----------
    moments : Moments
    ridge : float
    has_bias : bool
        Without one, ``d`` is 0.

    Returns
    -------
    (Tensor, Tensor)
        ``D`` of shape (outputs, inputs) and ``d`` of shape (outputs,), float64.
    """
    n = moments.tokens
    covariance, cross = moments.xx / n, moments.xr / n
    mean_x, mean_r = moments.x / n, moments.r / n
    if has_bias:
        covariance = covariance - torch.outer(mean_x, mean_x)
        cross = cross - torch.outer(mean_x, mean_r)
    strength = ridge * covariance.diagonal().mean().clamp_min(1e-30)
    damped = covariance + strength * torch.eye(len(covariance), dtype=torch.float64)
    change = torch.linalg.solve(damped, cross).T
    shift = mean_r - change @ mean_x if has_bias else torch.zeros_like(mean_r)
    return change, shift


def refit(
    model: nn.Module,
    plan: PruningPlan,
    dense: nn.Module,
    batches: Sequence[Batch],
    *,
    ridge: float = 1e-3,
) -> RefitReport:
    """Re-fit every output projection of a cut model, in place.

    The target of a projection is the dense model's output of the same projection in the same layer.
    That holds also for a layer before removed ones: it is not asked to stand in for them.

    Parameters
    ----------
    model : nn.Module
        The cut model.
    plan : PruningPlan
        What it keeps, in indices of ``dense``.
    dense : nn.Module
    batches : sequence of dict of Tensor
        Calibration windows; gone through twice a layer. Every fourth window is held out.
    ridge : float
        Strength of the pull towards the present weights, relative to the inputs' mean variance.

    Returns
    -------
    RefitReport

    Raises
    ------
    PlanError
        If the plan does not describe ``model`` as cut from ``dense``.
    ConfigError
        If there are too few calibration windows to hold any out.
    """
    bound, bound_dense = bind(model), bind(dense)
    if plan.shape != bound_dense.shape or plan.result != bound.shape:
        raise PlanError(
            f"the plan leads from {plan.shape.summary()} to {plan.result.summary()}, but the models have "
            f"{bound_dense.shape.summary()} and {bound.shape.summary()}; give the plan that made the cut."
        )
    windows = sum(len(batch["waveform"]) for batch in batches)
    if windows < HELD_OUT_EVERY:
        raise ConfigError(
            f"{windows} calibration windows were given; a re-fit needs at least {HELD_OUT_EVERY}."
        )
    modes = model.training, dense.training
    model.eval()
    dense.eval()
    records = []
    with progress("re-fitting", 2 * len(bound.layers)) as bar:
        for layer, kept in zip(bound.layers, plan.layers, strict=True):
            for name, kind in OUTPUTS.items():
                reference = bound_dense.layers[kept.index].output(kind)
                fitted, held_out = _moments(model, layer.output(kind), dense, reference, batches)
                records.append(_renew(layer, kept.index, name, fitted, held_out, ridge))
                bar.advance()
    model.train(modes[0])
    dense.train(modes[1])
    return RefitReport(
        windows=windows, adopted=sum(record.adopted for record in records), projections=tuple(records)
    )


def _moments(
    model: nn.Module, own: nn.Module, dense: nn.Module, reference: nn.Module, batches: Sequence[Batch]
) -> tuple[Moments, Moments]:
    """Gather the moments of the windows to fit on and of those held out."""
    fitted = held_out = None
    first = 0
    for batch in batches:
        _, target = _seen_by(dense, reference, batch)
        inputs, output = _seen_by(model, own, batch)
        if fitted is None or held_out is None:
            fitted, held_out = (
                Moments(n_inputs=inputs.shape[-1], n_outputs=output.shape[-1]) for _ in range(2)
            )
        kept_back = (first + torch.arange(len(inputs))) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        for part, rows in ((fitted, ~kept_back), (held_out, kept_back)):
            if rows.any():
                part.add(inputs[rows], target[rows] - output[rows], target[rows])
        first += len(inputs)
    assert fitted is not None
    assert held_out is not None
    return fitted, held_out


def _renew(
    layer: BoundLayer, dense_layer: int, name: Output, fitted: Moments, held_out: Moments, ridge: float
) -> ProjectionRefit:
    """Solve for one projection and take the new weights if the held-out residual falls."""
    role = "o" if name == "attention_output" else "down"
    module = layer.projection(role).module
    change, shift = solve(fitted, ridge=ridge, has_bias=module.bias is not None)
    before, after = held_out.rr, held_out.squared_residual(change, shift)
    adopted = bool(torch.isfinite(change).all()) and after < before
    if adopted:
        with torch.no_grad():
            weight = layer.role_weight(role)
            weight.copy_(weight.double() + change.to(weight.device))
            if module.bias is not None:
                module.bias.copy_(module.bias.double() + shift.to(weight.device))
    size = max(held_out.target_square, 1e-30)
    return ProjectionRefit(
        layer=layer.index,
        dense_layer=dense_layer,
        projection=name,
        residual_before=before / size,
        residual_after=(after if adopted else before) / size,
        adopted=adopted,
    )
