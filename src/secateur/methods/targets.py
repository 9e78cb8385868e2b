"""What a finished model may cost: from a budget, or from a shape chosen by hand."""

from __future__ import annotations

from secateur.core.errors import PlanError
from secateur.methods.cuts import hand_plan
from secateur.methods.settings import HandAllocation
from secateur.structure.budget import Budget
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Target


def target_of(identity: PruningPlan, budget: Budget | None, hand: HandAllocation | None) -> Target:
    """Return the budget's target, or the size that was chosen by hand.

    Parameters
    ----------
    identity : PruningPlan
        The dense model.
    budget : Budget or None
    hand : HandAllocation or None

    Raises
    ------
    PlanError
        If neither is given, the budget cannot be reached, or the allocation by hand exceeds it.
    """
    target = None if budget is None else budget.target(identity.family, identity.shape)
    if hand is None:
        if target is None:
            raise PlanError("neither a budget nor an allocation by hand was given; give one of them.")
        return target
    wanted = hand_plan(hand, identity)
    if target is None:
        return Target(parameters=parameters(wanted))
    if excesses := target.excesses(wanted):
        raise PlanError(
            f"the allocation by hand exceeds the budget: {'; '.join(excesses)}. Make it smaller or leave the "
            "budget out."
        )
    return Target(parameters=parameters(wanted), limits=target.limits)
