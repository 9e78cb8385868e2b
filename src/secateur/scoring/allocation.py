"""From scores and a budget to a plan: one ranking over groups and channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from secateur.core.errors import PlanError
from secateur.scoring.rounding import round_channels
from secateur.scoring.scores import Scores
from secateur.structure.counting import channel_parameters, group_parameters, parameters
from secateur.structure.plan import LayerPlan, PruningPlan

WidthKind = Literal["group", "channel"]
WIDTH_KINDS: tuple[WidthKind, ...] = ("group", "channel")


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    density: float
    kind: WidthKind
    layer: int
    index: int
    cost: int


def allocate(
    scores: Scores,
    start: PruningPlan,
    target_parameters: int,
    *,
    multiple: int | None = None,
    kinds: Sequence[WidthKind] = WIDTH_KINDS,
) -> PruningPlan:
    """Remove the units that matter least for what they cost until the budget is met.

    Parameters
    ----------
    scores : Scores
        Importance of the units of the model that ``start.shape`` describes.
    start : PruningPlan
        What is there to cut, such as the identity, or a plan that already lacks some layers.
    target_parameters : int
        Parameters of the whole model that must not be exceeded.
    multiple : int, optional
        Multiple to which the channels of a layer are rounded; smaller ones are taken where it does not
        fit. By default the largest of 64, 32, 16, 8 that is at most a quarter of the mean width.
    kinds : sequence of {"group", "channel"}
        What may be cut.

    Returns
    -------
    PruningPlan
        At most ``target_parameters``, and as near as whole units allow.

    Raises
    ------
    PlanError
        If the target cannot be reached by these kinds; the message says what can.
    """
    if multiple is not None and multiple < 1:
        raise PlanError(f"channels were to be multiples of {multiple}; give 1, 8, 16, 32 or 64.")
    if parameters(start) <= target_parameters:
        return start
    cut = rank_cut(scores, start, target_parameters, kinds=kinds)
    if "channel" not in kinds:
        return cut
    return round_channels(cut, scores, start, target_parameters, multiple=multiple)


def rank_cut(
    scores: Scores,
    start: PruningPlan,
    target_parameters: int,
    *,
    kinds: Sequence[WidthKind] = WIDTH_KINDS,
) -> PruningPlan:
    """Remove units in the order of score per parameter until the target is met.

    Every layer keeps its best group and its best channel. The plan of a smaller target keeps a subset of
    what the plan of a larger one keeps.
    """
    groups = {layer.index: set(layer.groups) for layer in start.layers}
    channels = {layer.index: set(layer.channels) for layer in start.layers}
    kept = {"group": groups, "channel": channels}
    total = parameters(start)
    for candidate in _ranking(scores, start, kinds):
        if total <= target_parameters:
            break
        members = kept[candidate.kind][candidate.layer]
        if len(members) > 1:
            members.remove(candidate.index)
            total -= candidate.cost
    if total > target_parameters:
        raise PlanError(
            f"a model of at most {target_parameters:,} parameters was asked for, but with "
            f"{len(start.layers)} layers, cutting {' and '.join(kinds)}s only, at least {total:,} stay; "
            "ask for more parameters or for fewer layers."
        )
    return _with_kept(start, groups, channels)


def keep_best(
    scores: Scores, start: PruningPlan, *, groups: int | None = None, channels: int | None = None
) -> PruningPlan:
    """Keep the same number of best-scored units in every layer.

    Parameters
    ----------
    scores : Scores
        Importance of the units of the model that ``start.shape`` describes.
    start : PruningPlan
        What is there to cut.
    groups, channels : int, optional
        How many to keep a layer; None leaves that kind alone.

    Raises
    ------
    PlanError
        If a layer has fewer, or fewer than one is asked for.
    """
    kept_groups, kept_channels = {}, {}
    for layer in start.layers:
        kept_groups[layer.index] = _best(scores, layer, "group", groups)
        kept_channels[layer.index] = _best(scores, layer, "channel", channels)
    return _with_kept(start, kept_groups, kept_channels)


def _ranking(scores: Scores, start: PruningPlan, kinds: Sequence[WidthKind]) -> list[_Candidate]:
    candidates = []
    for kind in kinds:
        values = scores.of(kind)
        scale = 1.0
        if not scores.comparable:
            kept = [values[layer.index][list(_members(layer, kind))] for layer in start.layers]
            scale = float(np.mean(np.concatenate(kept))) or 1.0
        for layer in start.layers:
            cost = _cost(start, kind, layer.index)
            divisor = cost if scores.comparable else scale
            candidates += [
                _Candidate(
                    density=float(values[layer.index][index]) / divisor,
                    kind=kind,
                    layer=layer.index,
                    index=index,
                    cost=cost,
                )
                for index in _members(layer, kind)
            ]
    return sorted(candidates, key=lambda entry: (entry.density, entry.kind, entry.layer, entry.index))


def _cost(plan: PruningPlan, kind: WidthKind, layer: int) -> int:
    if kind == "group":
        return group_parameters(plan.family, plan.shape, layer)
    return channel_parameters(plan.family, plan.shape)


def _members(layer: LayerPlan, kind: WidthKind) -> tuple[int, ...]:
    return layer.groups if kind == "group" else layer.channels


def _best(scores: Scores, layer: LayerPlan, kind: WidthKind, count: int | None) -> set[int]:
    members = _members(layer, kind)
    if count is None:
        return set(members)
    if not 1 <= count <= len(members):
        raise PlanError(
            f"{count} {kind}s were to be kept in layer {layer.index}; allowed: 1 to {len(members)}."
        )
    values = scores.of(kind)[layer.index]
    return set(sorted(members, key=lambda index: (-values[index], index))[:count])


def _with_kept(start: PruningPlan, groups: dict[int, set[int]], channels: dict[int, set[int]]) -> PruningPlan:
    plan = start
    for layer in start.layers:
        plan = plan.with_groups(layer.index, groups[layer.index])
        plan = plan.with_channels(layer.index, channels[layer.index])
    return plan
