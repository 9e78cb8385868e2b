"""Optimal brain surgeon on closed units: what a unit costs after the others have made up for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from secateur.core.errors import ConfigError
from secateur.core.progress import progress
from secateur.models.binding import BoundLayer, BoundModel
from secateur.models.calls import Batch, real_tokens, token_mask
from secateur.scoring.elimination import Staying, elimination_costs
from secateur.scoring.gates import output_gradients
from secateur.scoring.gram import GramSum
from secateur.scoring.heads_in_groups import nested_costs
from secateur.scoring.objective import backward_passes
from secateur.scoring.scores import CRITERIA, SCORED_KINDS, Needs, ScoredKind, Scores
from secateur.structure.counting import group_parameters, head_parameters
from secateur.structure.spec import OUTPUT_ROLE, WidthKind


@CRITERIA.register("surgeon")
class Surgeon:
    """Increase in loss when a unit is taken out and the units that stay are re-fitted to stand in for it.

    The loss behind an output projection ``y = W z`` is taken to second order in y. With the covariance A of
    its inputs over tokens and the second moment G of the gradient dL/dy, a change D of the weight costs
    ``tr(G D A D^T) / 2`` a token (Kronecker-factored curvature). What it costs to take out the columns of a
    unit with the best change of all others :func:`~secateur.scoring.elimination.elimination_costs` tells.
    Units leave one after the other; the score of a unit is the highest cost met up to its turn, so that a
    unit which another one can stand in for is cheap only as long as that one stays.

    Where heads inside groups may leave too, groups and heads of an attention are weighed in one order, see
    :func:`~secateur.scoring.heads_in_groups.nested_costs`.

    Comparable over groups, heads, channels and layers. It holds a square matrix as wide as the input of each
    projection.

    References
    ----------
    Hassibi and Stork, "Second order derivatives for network pruning: Optimal Brain Surgeon", NeurIPS 1992;
    Martens and Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", ICML 2015.
    """

    needs: ClassVar[Needs] = "gradients"

    def __init__(self, kinds: Collection[ScoredKind] = ("group", "channel")) -> None:
        self.kinds = kinds

    def score(self, model: nn.Module, bound: BoundModel, batches: Iterable[Batch], *, seed: int) -> Scores:
        """Score every unit; the numbers are mean loss a sample, and do not depend on the batch size."""
        found: dict[tuple[WidthKind, int], _Curvature] = {}
        mask: Tensor | None = None

        def visit(kind: WidthKind, position: int, z: Tensor, gradient: Tensor) -> None:
            place = found.setdefault((kind, position), _Curvature())
            place.add(real_tokens(z, mask), real_tokens(gradient, mask))

        def noting_padding() -> Iterator[Batch]:
            nonlocal mask
            for batch in batches:
                mask = token_mask(batch)
                yield batch

        with output_gradients(bound, visit):
            samples = backward_passes(model, noting_padding(), seed=seed)
        if samples == 0:
            raise ConfigError("the surgeon was given no calibration sample; give at least one.")
        layers = bound.layers
        with progress("weighing units", len(SCORED_KINDS) * len(layers)) as bar:

            def costs(kind: ScoredKind, position: int) -> np.ndarray:
                source: WidthKind = "group" if kind == "head" else kind
                bar.advance()
                curvature = found.get((source, position))
                if source == "group" and "head" in self.kinds and bound.shape.heads_per_group(position) > 1:
                    groups, heads = _nested(bound, position, curvature, samples, "group" in self.kinds)
                    return groups if kind == "group" else heads
                return _costs(layers[position], kind, curvature, samples)

            return Scores.gathered(costs, len(layers), comparable=True)


@dataclass(kw_only=True)
class _Curvature:
    """Sums over tokens at one output projection."""

    tokens: int = 0
    inputs: GramSum = field(default_factory=GramSum)
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    gradients: GramSum = field(default_factory=GramSum)

    def add(self, z: Tensor, gradient: Tensor) -> None:
        """Add tokens (tokens, features)."""
        self.inputs.add(z)
        self.gradients.add(gradient)
        self.mean = self.mean + z.float().sum(dim=0).cpu()
        self.tokens += len(z)


@torch.no_grad()
def _costs(layer: BoundLayer, kind: ScoredKind, curvature: _Curvature | None, samples: int) -> np.ndarray:
    n_units = layer.units(kind)
    if not n_units or curvature is None:
        return np.zeros(n_units)
    return elimination_costs(*_problem(layer, kind, curvature, samples), n_units).numpy()


@torch.no_grad()
def _nested(
    bound: BoundModel, position: int, curvature: _Curvature | None, samples: int, whole_groups: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Weigh the groups and heads of an attention in one order."""
    layer, family, shape = bound.layers[position], bound.spec.family, bound.shape
    n_groups, n_heads = layer.units("group"), layer.units("head")
    if curvature is None:
        return np.zeros(n_groups), np.zeros(n_heads)
    groups, heads = nested_costs(
        Staying.all_of(*_problem(layer, "head", curvature, samples), n_heads),
        n_groups,
        group_parameters=group_parameters(family, shape, position),
        head_parameters=head_parameters(family, shape, position),
        whole_groups=whole_groups,
    )
    return groups.numpy(), heads.numpy()


def _problem(
    layer: BoundLayer, kind: ScoredKind, curvature: _Curvature, samples: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return covariance of the inputs, sensitivity and weight of an output projection."""
    projection = layer.projection(OUTPUT_ROLE["group" if kind == "head" else kind])
    weight = layer.role_weight(projection.spec.roles[0]).detach().double().cpu()
    tokens = curvature.tokens
    covariance = curvature.inputs.matrix() / tokens
    if projection.module.bias is not None:
        mean = curvature.mean.double() / tokens
        covariance = covariance - torch.outer(mean, mean)
    return covariance, curvature.gradients.matrix() / samples, weight
