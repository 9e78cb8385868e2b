"""The cut of one stage: a plan in indices of the model as it stands."""

from __future__ import annotations

from collections.abc import Sequence

from secateur.core.errors import PlanError
from secateur.methods.settings import HandAllocation, StageName
from secateur.scoring.allocation import WidthKind, allocate, keep_best
from secateur.scoring.scores import Scores
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan

KIND_OF: dict[StageName, WidthKind] = {"groups": "group", "channels": "channel"}


def layer_cut(
    identity: PruningPlan, order: Sequence[int], n_removed: int, target_parameters: int | None
) -> PruningPlan:
    """Remove the first ``n_removed`` layers of ``order``, and more until the target is met, if one is given.

    Raises
    ------
    PlanError
        If a target is given that removing layers alone does not reach.
    """
    plan = identity.without_layers(order[:n_removed])
    if target_parameters is None:
        return plan
    for position in order[n_removed:]:
        if parameters(plan) <= target_parameters:
            break
        plan = plan.without_layers((position,))
    if parameters(plan) > target_parameters:
        raise PlanError(
            f"a model of at most {target_parameters:,} parameters was asked for, but removing layers last "
            f"leaves {parameters(plan):,}; ask for more parameters or remove layers earlier."
        )
    return plan


def width_cut(
    scores: Scores,
    identity: PruningPlan,
    doomed: Sequence[int],
    target_parameters: int,
    *,
    kind: WidthKind,
    kinds: Sequence[WidthKind],
    multiple: int | None,
) -> PruningPlan:
    """Allocate the full target over all kinds still to be cut, and carry out the part of one kind.

    Parameters
    ----------
    scores : Scores
        Of the model that ``identity`` keeps whole.
    identity : PruningPlan
        The model as it stands.
    doomed : sequence of int
        Layers that a later stage will remove: they do not count, and keep the mean width of the rest.
    target_parameters : int
        Parameters of the finished model.
    kind : {"group", "channel"}
        What this stage cuts.
    kinds : sequence of {"group", "channel"}
        What this stage and later ones cut.
    multiple : int or None
        Of channel widths.
    """
    rest = identity.without_layers(doomed)
    full = allocate(scores, rest, target_parameters, multiple=multiple, kinds=kinds)
    plan = identity
    counts = []
    for layer in full.layers:
        members = layer.groups if kind == "group" else layer.channels
        counts.append(len(members))
        change = plan.with_groups if kind == "group" else plan.with_channels
        plan = change(layer.index, members)
    if not doomed:
        return plan
    mean = round(sum(counts) / len(counts))
    leaving = identity.without_layers([layer.index for layer in full.layers])
    best = keep_best(scores, leaving, **{f"{kind}s": mean})
    for layer in best.layers:
        change = plan.with_groups if kind == "group" else plan.with_channels
        plan = change(layer.index, layer.groups if kind == "group" else layer.channels)
    return plan


def hand_counts(hand: HandAllocation, identity: PruningPlan) -> dict[StageName, int]:
    """Return groups and channels a layer of an allocation by hand."""
    sharing = identity.shape.heads_per_group(0)
    return {"groups": hand.heads // sharing, "channels": hand.channels}


def check_hand(hand: HandAllocation, identity: PruningPlan) -> None:
    """Check an allocation by hand against the dense model.

    Raises
    ------
    PlanError
        Naming what was given and what is allowed.
    """
    shape = identity.shape
    limits = {
        "layers": (hand.layers, shape.n_layers),
        "heads": (hand.heads, min(shape.heads_per_layer)),
        "channels": (hand.channels, min(shape.channels_per_layer)),
    }
    for name, (given, most) in limits.items():
        if given > most:
            raise PlanError(
                f"--{name} {given} was asked for; the dense model has {most}, so 1 to {most} are allowed."
            )
    sharing = shape.heads_per_group(0)
    if hand.heads % sharing:
        raise PlanError(
            f"--heads {hand.heads} was asked for, but {sharing} heads share a key and a value and stay "
            f"together; give a multiple of {sharing}."
        )


def hand_parameters(hand: HandAllocation, identity: PruningPlan) -> int:
    """Return the parameters of the model that an allocation by hand leaves."""
    check_hand(hand, identity)
    counts = hand_counts(hand, identity)
    plan = identity.without_layers(range(hand.layers, identity.shape.n_layers))
    for layer in plan.layers:
        plan = plan.with_groups(layer.index, range(counts["groups"]))
        plan = plan.with_channels(layer.index, range(counts["channels"]))
    return parameters(plan)
