"""How much of a model may remain, from the targets of a cut."""

from __future__ import annotations

import math
from collections.abc import Mapping

from secateur.core.errors import PlanError
from secateur.methods.cuts import check_hand
from secateur.methods.largest import narrowest
from secateur.methods.rounds import Rounds, require_all_layers
from secateur.methods.settings import STAGE_NAMES, STAGE_OF, CutUnit
from secateur.structure.budget import Budget
from secateur.structure.counting import block_parameters, parameters, shape_parameters
from secateur.structure.plan import PruningPlan
from secateur.workflow.cut_settings import CutSettings

ONE: Mapping[CutUnit, str] = {
    "group": "one key/value group",
    "head": "one query head a group",
    "channel": "one FFN channel",
}
"""The least that can stay of each kind of unit."""


def budget_of(
    cut: CutSettings, tokens_cut: PruningPlan | None = None, *, window_tokens: int = 0
) -> Budget | None:
    """Return the targets of a cut as a budget; None where the shape is chosen by hand alone.

    Methods that change weights count in units of their own; theirs is the ratio.

    Parameters
    ----------
    cut : CutSettings
    tokens_cut : PruningPlan, optional
        Of a model of tokens, the plan that removes nothing but tokens.
    window_tokens : int
        Of a Diagnoser, the tokens that it makes of a window.

    Raises
    ------
    PlanError
        If a number is out of range or out of reach, the latency table is of other windows, or the model has
        no such shape as was chosen by hand.
    """
    if tokens_cut is not None:
        require_shape_by_hand(cut, tokens_cut)
    limits = () if cut.device is None else cut.device.limits(window_tokens=window_tokens)
    counted = (cut.ratio, cut.block_fraction, cut.max_parameters) != (None, None, None)
    if not counted and not limits:
        return None
    if cut.text is None or cut.changes_weights:
        return Budget(ratio=cut.ratio, limits=limits)
    assert tokens_cut is not None, "given with a model of tokens"
    return Budget(max_parameters=target_parameters(cut, tokens_cut))


def require_shape_by_hand(cut: CutSettings, dense: PruningPlan) -> None:
    """Check that the dense model can be brought to the shape by hand, if there is one, by the chosen method.

    Raises
    ------
    PlanError
        Naming what was given and what is allowed.
    """
    if (hand := cut.search.hand) is not None:
        check_hand(hand, dense)
        if cut.method == Rounds.name:
            require_all_layers(hand, dense)


def target_parameters(cut: CutSettings, tokens_cut: PruningPlan) -> int:
    """Return the parameters that may remain while the vocabulary is still whole.

    Parameters
    ----------
    cut : CutSettings
    tokens_cut : PruningPlan
        The plan that removes nothing but tokens.

    Raises
    ------
    PlanError
        If the size is out of reach; the message names the largest ratio that is not.
    """
    family, shape = tokens_cut.family, tokens_cut.shape
    dense = shape_parameters(family, shape)
    tokens = dense - parameters(tokens_cut)
    least = PruningPlan.identity(family, shape)
    if cut.method != "rounds" and len(shape.stack_sizes) == 1:
        least = least.without_layers(range(1, shape.n_layers))
    units = _units(cut)
    least = narrowest(least, units)
    smallest = parameters(least) - tokens
    allowed = []
    if cut.ratio is not None:
        allowed.append((Budget(ratio=cut.ratio).target_parameters(dense), f"ratio {cut.ratio:g}"))
    if cut.max_parameters is not None:
        limit = Budget(max_parameters=cut.max_parameters).target_parameters(dense)
        allowed.append((limit, f"a limit of {cut.max_parameters:,} parameters"))
    if cut.block_fraction is not None:
        removed = math.ceil(cut.block_fraction * block_parameters(family, shape))
        allowed.append((dense - removed - tokens, f"block fraction {cut.block_fraction:g}"))
    remaining, wanted = min(allowed)
    if remaining < smallest:
        fraction = int(1000 * (dense - tokens - smallest) / block_parameters(family, shape)) / 1000
        ratio = int(100 * dense / smallest) / 100
        kept = " and ".join(ONE[unit] for unit in units)
        where = "each" if len(least.layers) == shape.n_layers else "one"
        raise PlanError(
            f"{wanted} leaves {remaining:,} of {dense:,} parameters, but with {kept} in {where} layer "
            f"{smallest:,} stay, {shape.other_parameters - tokens:,} of them outside the blocks. The largest "
            f"ratio that can be reached is {ratio:.2f} (block fraction {fraction:g}); ask for less"
            + (", or cut the vocabulary too (--vocabulary)." if shape.vocabulary and not tokens else ".")
        )
    return remaining + tokens


def _units(cut: CutSettings) -> tuple[CutUnit, ...]:
    """Return the kinds of units that the method may cut."""
    if cut.units is not None:
        return cut.units
    order = cut.order if cut.method == "cascade" else STAGE_NAMES
    return tuple(unit for unit, stage in STAGE_OF.items() if stage in order)
