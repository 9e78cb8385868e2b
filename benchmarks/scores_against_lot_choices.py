"""Ways to choose the closed units that stay, at given widths, and what is left of a branch's output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from two_by_two_cuts import closed_plan, widths_for

from secateur.core.seeds import derive
from secateur.models.binding import BoundModel, bind
from secateur.models.calls import Batch, run
from secateur.models.frozen import frozen
from secateur.scoring.gates import unit_inputs
from secateur.scoring.registered import CRITERIA
from secateur.scoring.scores import Scores
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.surgery.apply import apply
from secateur.tasks.classification import task_loss
from secateur.tasks.predictions import predictions

ROUNDS = 5
CONTEXTS = 4
"""Random sub-models of the wanted size in which units are scored."""

Widths = tuple[int, int, int]


def identity_of(bound: BoundModel) -> PruningPlan:
    """Return the plan that keeps all."""
    return PruningPlan.identity(bound.spec.family, bound.shape)


def by_criterion(name: str, model: nn.Module, batches: Sequence[Batch], *, seed: int) -> Scores:
    """Score the units of a model."""
    return CRITERIA.get(name)().score(model, bind(model), batches, seed=seed)


def in_rounds(
    name: str, model: nn.Module, batches: Sequence[Batch], ratio: float, *, seed: int
) -> PruningPlan:
    """Cut in equal steps of the logarithm of the ratio and score again behind each, without any re-fit."""
    whole = identity_of(bind(model))
    plan, cut = whole, model
    for number in range(1, ROUNDS + 1):
        widths = widths_for(whole, ratio ** (number / ROUNDS))
        scores = by_criterion(name, cut, batches, seed=seed)
        step = closed_plan(identity_of(bind(cut)), scores, widths)
        plan = composed(plan, step)
        cut = apply(model, plan).eval()
    return plan


def composed(first: PruningPlan, second: PruningPlan) -> PruningPlan:
    """Return the second plan, made for the model that the first leaves, in indices of the dense model."""
    sharing = first.shape.heads_per_group(0)
    layers = [_composed(one, two, sharing) for one, two in zip(first.layers, second.layers, strict=True)]
    return replace(first, layers=tuple(layers))


def _composed(one: LayerPlan, two: LayerPlan, sharing: int) -> LayerPlan:
    inside = two.heads_of(0, sharing) if two.heads else None
    heads = []
    for position, group in enumerate(two.groups):
        present = one.heads_of(group, sharing)
        kept = range(len(present)) if inside is None else two.heads[position]
        heads.append(tuple(present[head] for head in kept))
    return LayerPlan(
        index=one.index,
        groups=tuple(one.groups[group] for group in two.groups),
        heads=tuple(heads),
        channels=tuple(one.channels[channel] for channel in two.channels),
    )


def in_contexts(model: nn.Module, batches: Sequence[Batch], widths: Widths, *, seed: int) -> Scores:
    """Score a unit by what it adds to random sub-models of the wanted size, to first order.

    In each context all but a random choice of these widths is gated off. The derivative of the loss by the
    gate of a unit, present or not, is what turning it on adds; its mean over contexts, sign changed, is the
    score. (Single removal from the dense model is the same at the other end of the scale.)
    """
    bound, whole = bind(model), identity_of(bind(model))
    gained: dict[tuple[str, int], Tensor] = {}
    for number in range(CONTEXTS):
        chosen = closed_plan(
            whole, by_criterion("random", model, (), seed=derive(seed, "context", number)), widths
        )
        with frozen(model), gated(bound, chosen) as gates, torch.enable_grad():
            for batch in batches:
                found = predictions(model, batch)
                task_loss(found.logits, found.labels).backward()
        for place, gate in gates.items():
            gained[place] = gained.get(place, 0.0) - gate.grad.double()

    def score(kind: str, position: int) -> np.ndarray:
        layer = bound.layers[position]
        found = (
            gained["group" if kind == "head" else kind, position] if kind != "cross_group" else torch.zeros(0)
        )
        n = layer.units(kind)
        return found.reshape(n, -1).sum(dim=1).numpy() if n else np.zeros(0)

    return Scores.gathered(score, len(bound.layers), comparable=False)


@contextmanager
def gated(bound: BoundModel, plan: PruningPlan) -> Iterator[dict[tuple[str, int], Tensor]]:
    """Let the model compute what a plan keeps, with a gate on every input of an output projection."""
    gates: dict[tuple[str, int], Tensor] = {}
    handles = []
    for layer, kept in zip(bound.layers, plan.layers, strict=True):
        for kind, columns in kept_columns(bound, layer.index, kept).items():
            gate = torch.zeros(layer.output(kind).weight.shape[1])
            gate[columns] = 1.0
            gates[kind, layer.index] = gate.requires_grad_(True)
            handles.append(layer.output(kind).register_forward_pre_hook(_times(gates[kind, layer.index])))
    try:
        yield gates
    finally:
        for handle in handles:
            handle.remove()


def _times(gate: Tensor) -> Callable:
    return lambda _module, args: (args[0] * gate, *args[1:])


def kept_columns(bound: BoundModel, position: int, kept: LayerPlan) -> dict[str, Tensor]:
    """Return which inputs of the two output projections of a layer stay."""
    layer = bound.layers[position]
    sharing, width = layer.heads_per_group, layer.head_dim
    heads = [
        group * sharing + head
        for place, group in enumerate(kept.groups)
        for head in kept.heads_of(place, sharing)
    ]
    columns = [head * width + offset for head in heads for offset in range(width)]
    return {"group": torch.tensor(columns), "channel": torch.tensor(kept.channels)}


@dataclass(frozen=True, kw_only=True)
class BranchFit:
    """What the kept units of a branch say of its dense output, mean over layers; 1 is all of its energy.

    Parameters
    ----------
    error : float
        ``E|W_R z_R|^2 / E|W z|^2``: the energy of the terms that are missing, together.
    summed : float
        The energies of the missing terms one by one, added, over the same. What scores of single units see.
    kept : float
        ``E|W_K z_K|^2 / E|W z|^2``: the length of what is left; above 1 where missing terms cancelled it.
    best_error : float
        What is left of the error when the kept units are re-fitted by least squares.
    scale : float
        Least-squares factor that brings what is left nearest to the dense output.
    mean_share : float
        ``|E W z|^2 / E|W z|^2``: how much of the dense output is the same for every token.
    error_without_mean : float
        The error where the missing terms' mean is put back, over the energy of the dense output without its
        mean.
    """

    error: float
    summed: float
    kept: float
    best_error: float
    scale: float
    mean_share: float
    error_without_mean: float


class Moments:
    """Second moments of the inputs of the output projections of a dense model.

    Parameters
    ----------
    model : nn.Module
    batches : sequence of dict
    """

    def __init__(self, model: nn.Module, batches: Sequence[Batch]) -> None:
        self._bound = bind(model)
        self._sums: dict[tuple[str, int], Tensor] = {}
        self._totals: dict[tuple[str, int], Tensor] = {}
        self._tokens: dict[tuple[str, int], int] = {}
        with torch.no_grad(), frozen(model), unit_inputs(self._bound, self._add):
            for batch in batches:
                run(model, batch)

    def _add(self, kind: str, position: int, z: Tensor) -> None:
        flat = z.flatten(0, -2).double()
        place = (kind, position)
        self._sums[place] = self._sums.get(place, 0.0) + flat.T @ flat
        self._totals[place] = self._totals.get(place, 0.0) + flat.sum(dim=0)
        self._tokens[place] = self._tokens.get(place, 0) + len(flat)

    @torch.no_grad()
    def missing_means(self, plan: PruningPlan) -> dict[tuple[str, int], Tensor]:
        """Return what the removed units of each branch write on average, (hidden,)."""
        found = {}
        for layer, kept in zip(self._bound.layers, plan.layers, strict=True):
            for kind, columns in kept_columns(self._bound, layer.index, kept).items():
                mean = (self._totals[kind, layer.index] / self._tokens[kind, layer.index]).index_fill(
                    0, columns, 0.0
                )
                found[kind, layer.index] = (layer.output(kind).weight.double() @ mean).float()
        return found

    @torch.no_grad()
    def fit(self, plan: PruningPlan, kind: str) -> BranchFit:
        """Compare what a plan keeps of a branch with its dense output, on the dense model's own inputs."""
        found = [
            self._layer_fit(layer.output(kind).weight.double(), (kind, layer.index), columns)
            for layer, kept in zip(self._bound.layers, plan.layers, strict=True)
            for columns in (kept_columns(self._bound, layer.index, kept)[kind],)
        ]
        return BranchFit(**{name: float(np.mean([entry[name] for entry in found])) for name in found[0]})

    def _layer_fit(self, weight: Tensor, place: tuple[str, int], columns: Tensor) -> dict[str, float]:
        moment = self._sums[place] / self._tokens[place]
        mean = self._totals[place] / self._tokens[place]
        stays = torch.zeros(len(moment), dtype=torch.bool)
        stays[columns] = True
        gone, curvature = ~stays, weight.T @ weight
        energies = curvature * moment
        whole = energies.sum()
        within = moment[stays][:, stays]
        damping = 1e-6 * within.diagonal().mean() * torch.eye(len(within), dtype=within.dtype)
        explained = moment[gone][:, stays] @ torch.linalg.solve(within + damping, moment[stays][:, gone])
        left = curvature[gone][:, gone] * (moment[gone][:, gone] - explained)
        centred = curvature * (moment - torch.outer(mean, mean))
        found = {
            "error": energies[gone][:, gone].sum() / whole,
            "summed": energies.diagonal()[gone].sum() / whole,
            "kept": energies[stays][:, stays].sum() / whole,
            "best_error": left.sum() / whole,
            "scale": energies[stays].sum() / energies[stays][:, stays].sum(),
            "mean_share": (weight @ mean).square().sum() / whole,
            "error_without_mean": centred[gone][:, gone].sum() / centred.sum(),
        }
        return {name: float(value) for name, value in found.items()}


@contextmanager
def with_means(model: nn.Module, means: dict[tuple[str, int], Tensor]) -> Iterator[None]:
    """Let a cut model add to each branch what the units that it lost wrote on average."""
    handles = [
        layer.output(kind).register_forward_hook(_plus(means[kind, layer.index]))
        for layer in bind(model).layers
        for kind in ("group", "channel")
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _plus(constant: Tensor) -> Callable:
    return lambda _module, _args, output: output + constant
