"""The largest plan that keeps within a target: every limit translated into parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from secateur.core.errors import PlanError
from secateur.scoring.allocation import CUT_BY_DEFAULT
from secateur.scoring.scores import ScoredKind
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Target

RESOLUTION = 1000
"""The search ends when it knows the parameters to one part in so many."""


def largest_plan(
    plan_for: Callable[[int], PruningPlan],
    start: PruningPlan,
    target: Target,
    *,
    kinds: Sequence[ScoredKind] = CUT_BY_DEFAULT,
) -> PruningPlan:
    """Return the plan of most parameters that meets a target.

    Cuts are planned in parameters. Other limits are met by bisection: of the plans that ``plan_for`` gives
    for one number of parameters after another, the largest whose predicted latency and memory hold. What is
    predicted falls with the parameters along this path, since the plan of a smaller number keeps a part of
    what that of a larger one keeps, but for the rounding of channels; a plan that holds is returned in any
    case.

    Parameters
    ----------
    plan_for : callable
        Gives a plan of at most so many parameters.
    start : PruningPlan
        What there is to cut.
    target : Target
    kinds : sequence of {"group", "head", "channel"}
        What may be cut.

    Raises
    ------
    PlanError
        If one unit of each of these kinds a layer is still too much.
    """
    largest = plan_for(min(target.parameters, parameters(start)) if target.limits else target.parameters)
    if target.met_by(largest):
        return largest
    least = narrowest(start, kinds)
    if not target.met_by(least):
        raise PlanError(
            f"with {len(start.layers)} layers, cutting {' and '.join(kinds)}s only, at least "
            f"{', '.join(target.excesses(least))} stay; ask for more or for fewer layers."
        )
    low, high = parameters(least), parameters(largest)
    found = plan_for(low)
    while high - low > max(1, low // RESOLUTION):
        middle = (low + high) // 2
        plan = plan_for(middle)
        if target.met_by(plan):
            found, low = plan, middle
        else:
            high = middle
    return found


def narrowest(plan: PruningPlan, kinds: Sequence[ScoredKind] = CUT_BY_DEFAULT) -> PruningPlan:
    """Return the plan that keeps one unit of each of these kinds in each of its layers."""
    for layer in plan.layers:
        groups = layer.groups[:1] if "group" in kinds else layer.groups
        plan = plan.with_groups(layer.index, groups)
        if "head" in kinds:
            sharing = plan.shape.heads_per_group(layer.index)
            plan = plan.with_heads(
                layer.index, (layer.heads_of(place, sharing)[:1] for place in range(len(groups)))
            )
        if "channel" in kinds:
            plan = plan.with_channels(layer.index, layer.channels[:1])
    return plan
