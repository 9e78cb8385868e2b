"""What groups of heads, and single heads of every group, cost when both may leave one attention."""

from __future__ import annotations

import torch
from torch import Tensor

from secateur.scoring.elimination import Staying

TRIFLE = 1e-9
"""So much more, at least, does each move cost than the one before it, so that a ranking keeps their order."""


def nested_costs(
    left: Staying, n_groups: int, *, group_parameters: int, head_parameters: int, whole_groups: bool
) -> tuple[Tensor, Tensor]:
    """Return what groups and heads cost, each at its turn in one order of leaving.

    What stands in for a group that leaves are heads of the others, and the same heads stand in for each
    other. Weighed apart, groups and heads count on the same ones, and together they cost more than their sum
    says. So they leave in one order here, always the move that costs least for each parameter that it frees:
    a whole group, or the least important head of every group that stays, since all groups keep equally many.

    Parameters
    ----------
    left : Staying
        All query heads, group after group; none is left afterwards but one.
    n_groups : int
    group_parameters, head_parameters : int
        That leave with a group and all of its heads, and with one head, its key and value staying.
    whole_groups : bool
        Whether groups may leave.

    Returns
    -------
    groups : Tensor of float64, shape (n_groups,)
    heads : Tensor of float64, shape (query heads,)
        The cost for each parameter at the unit's turn, or the highest met before it, times the parameters
        that leave with the unit when nothing else has left. The last group, and the last head of each group,
        cannot leave and have the highest. Heads of a group that has left rise with those of the groups that
        stay, so that the mean over all groups is the cost of the move.
    """
    n_heads = len(left.units)
    sharing = n_heads // n_groups
    keys = group_parameters - sharing * head_parameters
    staying = {group: list(range(group * sharing, (group + 1) * sharing)) for group in range(n_groups)}
    gone: list[list[int]] = []
    groups, heads = (torch.full((count,), torch.nan, dtype=torch.float64) for count in (n_groups, n_heads))
    density = 0.0
    while True:
        moves: list[tuple[float, int | None, list[int]]] = []
        if whole_groups and len(staying) > 1:
            for group, members in staying.items():
                freed = keys + len(members) * head_parameters
                moves.append((left.cost_together(members) / freed, group, members))
        if len(next(iter(staying.values()))) > 1:
            alone = left.costs_by_unit()
            worst = [min(members, key=alone.__getitem__) for members in staying.values()]
            moves.append((left.cost_together(worst) / (len(worst) * head_parameters), None, worst))
        if not moves:
            break
        price, chosen, leaving = min(moves, key=lambda move: move[0])
        density = max(price, density * (1 + TRIFLE))
        left.take_out(left.places_of(leaving))
        if chosen is not None:
            groups[chosen] = density
            gone.append(staying.pop(chosen))
            continue
        heads[leaving + [members.pop() for members in gone if len(members) > 1]] = density
        for members, head in zip(staying.values(), leaving, strict=True):
            members.remove(head)
    highest = density * (1 + TRIFLE)
    return groups.nan_to_num(highest) * group_parameters, heads.nan_to_num(highest) * head_parameters
