"""Equal widths in all layers, which a plain configuration can tell and kernels like."""

from __future__ import annotations

from dataclasses import replace

from secateur.core.errors import PlanError
from secateur.scoring.allocation import keep_best
from secateur.scoring.rounding import multiples_to_try
from secateur.scoring.scores import Scores
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan

FEWEST_CHANNELS = 1 / 8
"""Share of the channels below which groups are cut as well."""

OF_EXPERTS = 8
"""The width of an expert is a multiple of it: kernels for stacked experts ask for rows of 16 bytes."""


def equal_widths(
    scores: Scores, start: PruningPlan, target_parameters: int, *, multiple: int | None = None
) -> PruningPlan:
    """Keep the same number of channels, and if need be of groups, in every layer.

    In a mixture every expert keeps the same number of channels, a multiple of 8. Channels are cut first;
    groups only where fewer than an eighth of the channels would stay.

    Parameters
    ----------
    scores : Scores
        Importance of the units of the model that ``start.shape`` describes.
    start : PruningPlan
        What is there to cut; equally wide layers.
    target_parameters : int
        Parameters of the whole model that must not be exceeded.
    multiple : int, optional
        Of the channels (of an expert); by default the largest of 64, 32, 16, 8 that is at most a quarter of
        them.

    Raises
    ------
    PlanError
        If layers are of different widths already, or the target cannot be reached.
    """
    shape = start.result
    if len(_widths(start)) > 1 or len(set(shape.kv_groups_per_layer)) > 1:
        raise PlanError(
            f"equal widths were asked for, but the model's layers differ: {shape.summary()}. Leave "
            "--uniform out."
        )
    if parameters(start) <= target_parameters:
        return start
    (all_channels,), all_groups = _widths(start), shape.kv_groups_per_layer[0]
    for groups in range(all_groups, 0, -1):
        channels = _channels_within(start, groups, target_parameters)
        if channels >= all_channels * FEWEST_CHANNELS or (groups == 1 and channels):
            step = multiples_to_try(channels, multiple)[0]
            if shape.has_experts and multiple is None:
                step = max(step, OF_EXPERTS)
            rounded = channels if channels < step or channels == all_channels else channels // step * step
            return keep_best(scores, start, groups=groups, channels=rounded)
    smallest = _parameters_with(start, 1, 1)
    raise PlanError(
        f"a model of at most {target_parameters:,} parameters was asked for, but with {shape.n_layers} "
        f"layers at least {smallest:,} stay; ask for more parameters or for a cut vocabulary."
    )


def _channels_within(start: PruningPlan, groups: int, target: int) -> int:
    """The most channels a layer, or an expert, with which the target is met; 0 if one is too many."""
    with_one = _parameters_with(start, groups, 1)
    if with_one > target:
        return 0
    (all_channels,) = _widths(start)
    if all_channels == 1:
        return 1
    each = _parameters_with(start, groups, 2) - with_one
    return min(all_channels, 1 + (target - with_one) // each)


def _widths(start: PruningPlan) -> set[int]:
    shape = start.result
    return {len(own) for layer in range(shape.n_layers) for own in shape.channels_of_experts(layer)}


def _parameters_with(start: PruningPlan, groups: int, channels: int) -> int:
    layers = tuple(
        replace(
            layer,
            groups=layer.groups[:groups],
            heads=layer.heads[:groups],
            channels=layer.channels[: channels * len(start.shape.channels_of_experts(layer.index))],
        )
        for layer in start.layers
    )
    return parameters(replace(start, layers=layers))
