"""From scores and a budget to a plan: one ranking over heads, groups and channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from secateur.core.errors import PlanError
from secateur.scoring.remaining import Remaining
from secateur.scoring.rounding import round_channels
from secateur.scoring.scores import ScoredKind, Scores
from secateur.structure.counting import head_parameters, parameters, unit_parameters
from secateur.structure.plan import LayerPlan, PruningPlan

CUT_BY_DEFAULT: tuple[ScoredKind, ...] = ("group", "channel")


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    density: float
    kind: ScoredKind
    layer: int
    index: int


def allocate(
    scores: Scores,
    start: PruningPlan,
    target_parameters: int,
    *,
    multiple: int | None = None,
    kinds: Sequence[ScoredKind] = CUT_BY_DEFAULT,
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
    kinds : sequence of {"group", "head", "cross_group", "channel"}
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
    scores = scores.across_layers()
    cut = _rank_cut(scores, start, target_parameters, kinds)
    if "channel" not in kinds:
        return cut
    return round_channels(cut, scores, start, target_parameters, multiple=multiple)


def rank_cut(
    scores: Scores,
    start: PruningPlan,
    target_parameters: int,
    *,
    kinds: Sequence[ScoredKind] = CUT_BY_DEFAULT,
) -> PruningPlan:
    """Remove units in the order of score per parameter until the target is met.

    Scores that are not comparable say no more than how units of a layer stand to each other: then every
    layer loses the same share. Every layer keeps its best group, head and channel. A ``head`` leaves every
    group of its layer at once, the least important one in each, because all groups must keep equally many.
    The plan of a smaller target keeps a subset of what the plan of a larger one keeps.
    """
    return _rank_cut(scores.across_layers(), start, target_parameters, kinds)


def _rank_cut(
    scores: Scores, start: PruningPlan, target_parameters: int, kinds: Sequence[ScoredKind]
) -> PruningPlan:
    remaining = Remaining(start, scores)
    for candidate in _ranking(scores, start, kinds):
        if remaining.total <= target_parameters:
            break
        remaining.remove(candidate.kind, candidate.layer, candidate.index)
    if remaining.total > target_parameters:
        raise PlanError(
            f"a model of at most {target_parameters:,} parameters was asked for, but with "
            f"{len(start.layers)} layers, cutting {' and '.join(kinds)}s only, at least "
            f"{remaining.total:,} stay; ask for more parameters or for fewer layers."
        )
    return remaining.plan()


def keep_best(
    scores: Scores, start: PruningPlan, *, groups: int | None = None, channels: int | None = None
) -> PruningPlan:
    """Keep the same number of best-scored units in every layer, and channels in every expert of a mixture.

    Parameters
    ----------
    scores : Scores
        Importance of the units of the model that ``start.shape`` describes.
    start : PruningPlan
        What is there to cut.
    groups, channels : int, optional
        How many to keep a layer, or an expert; None leaves that kind alone.

    Raises
    ------
    PlanError
        If a layer has fewer, or fewer than one is asked for.
    """
    kept_groups, kept_channels = {}, {}
    for layer in start.layers:
        kept_groups[layer.index] = _best(scores, layer, "group", groups)
        kept_channels[layer.index] = {
            channel
            for own in start.shape.channels_of_experts(layer.index)
            for channel in _best(
                scores,
                replace(layer, channels=tuple(c for c in layer.channels if c in own)),
                "channel",
                channels,
            )
        }
    return _with_kept(start, kept_groups, kept_channels)


def _ranking(scores: Scores, start: PruningPlan, kinds: Sequence[ScoredKind]) -> list[_Candidate]:
    candidates = []
    for kind in kinds:
        entries = [
            (layer.index, index, value, cost)
            for layer in start.layers
            for index, value, cost in _entries(scores, start, layer, kind)
        ]
        if not entries:
            continue
        scale = float(np.mean([value for _, _, value, _ in entries])) or 1.0
        candidates += [
            _Candidate(
                density=value / (cost if scores.comparable else scale), kind=kind, layer=layer, index=index
            )
            for layer, index, value, cost in entries
        ]
    return sorted(candidates, key=lambda entry: (entry.density, entry.kind, entry.layer, entry.index))


def _entries(
    scores: Scores, start: PruningPlan, layer: LayerPlan, kind: ScoredKind
) -> list[tuple[int, float, int]]:
    """Return index, score and cost in parameters of everything of one kind that a layer can lose."""
    if kind == "head":
        return _head_entries(scores, start, layer)
    cost = unit_parameters(start.family, start.shape, layer.index, kind)
    values = scores.of(kind)[layer.index]
    return [(index, float(values[index]), cost) for index in _members(layer, kind)]


def _head_entries(scores: Scores, start: PruningPlan, layer: LayerPlan) -> list[tuple[int, float, int]]:
    """One entry for each head that every group can lose; its index is the order in which they go."""
    sharing = start.shape.heads_per_group(layer.index)
    cost = len(layer.groups) * head_parameters(start.family, start.shape, layer.index)
    worst_first = np.sort(
        [
            [scores.heads[layer.index][group * sharing + head] for head in layer.heads_of(position, sharing)]
            for position, group in enumerate(layer.groups)
        ],
        axis=1,
    )
    return [(order, float(worst_first[:, order].sum()), cost) for order in range(worst_first.shape[1] - 1)]


def _members(layer: LayerPlan, kind: ScoredKind) -> tuple[int, ...]:
    return {
        "group": layer.groups,
        "cross_group": layer.cross_groups,
        "channel": layer.channels,
    }[kind]


def _best(scores: Scores, layer: LayerPlan, kind: ScoredKind, count: int | None) -> set[int]:
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
