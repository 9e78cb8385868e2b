"""The cut of one stage: a plan in indices of the model as it stands."""

from __future__ import annotations

from collections.abc import Sequence

from secateur.core.errors import PlanError
from secateur.methods.largest import largest_plan
from secateur.methods.settings import STAGE_OF, HandAllocation, StageName
from secateur.scoring.allocation import allocate
from secateur.scoring.scores import ScoredKind, Scores
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.structure.target import Target

KIND_OF: dict[str, ScoredKind] = {stage: kind for kind, stage in STAGE_OF.items()}


def width_cut(
    scores: Scores,
    identity: PruningPlan,
    target: Target,
    *,
    kind: ScoredKind,
    kinds: Sequence[ScoredKind],
    multiple: int | None,
) -> PruningPlan:
    """Allocate the full target over all kinds still to be cut, and carry out the part of one kind.

    Parameters
    ----------
    scores : Scores
        Of the model that ``identity`` keeps whole.
    identity : PruningPlan
        The model as it stands, all of whose layers stay.
    target : Target
        For the finished model.
    kind : {"group", "head", "channel"}
        What this stage cuts.
    kinds : sequence of {"group", "head", "channel"}
        What this stage and later ones cut.
    multiple : int or None
        Of channel widths.
    """
    full = largest_plan(
        lambda limit: allocate(scores, identity, limit, multiple=multiple, kinds=kinds),
        identity,
        target,
        kinds=kinds,
    )
    return _part(identity, full, kind)


def equal_share_cut(
    scores: Scores,
    identity: PruningPlan,
    target_parameters: int,
    *,
    depth: int,
    kind: ScoredKind,
    kinds: Sequence[ScoredKind],
    multiple: int | None,
) -> PruningPlan:
    """Cut every layer to the same share of the target, and carry out the part of one kind.

    For a stage behind which layers leave. Which ones is known only when they are ranked on the model that
    this stage leaves, so that every layer is planned as one of ``depth`` equal ones: whichever stay, they
    meet the target together. How much of its share a layer spends on each kind follows from its own scores.

    Parameters
    ----------
    scores, identity, kind, kinds
        As in :func:`width_cut`.
    target_parameters : int
        Parameters of the finished model.
    depth : int
        Layers that stay in the end.
    multiple : int or None
        Of channel widths. None for 1: no later stage can spend what rounding leaves in every layer.

    Raises
    ------
    PlanError
        If a layer cannot be brought down to its share by these kinds.
    """
    share = (target_parameters - identity.shape.other_parameters) // depth
    plan = identity
    for layer in identity.layers:
        alone = identity.without_layers([other.index for other in identity.layers if other is not layer])
        try:
            full = allocate(
                scores, alone, identity.shape.other_parameters + share, multiple=multiple or 1, kinds=kinds
            )
        except PlanError:
            raise PlanError(
                f"{depth} of {len(identity.layers)} layers are to stay, which of them a later stage decides, "
                f"so that each may have {share:,} parameters; cutting {' and '.join(kinds)}s does not bring "
                f"layer {layer.index} so far. Ask for more parameters, or remove layers first."
            ) from None
        plan = _part(plan, full, kind)
    return plan


def _part(plan: PruningPlan, full: PruningPlan, kind: ScoredKind) -> PruningPlan:
    """Return ``plan`` with the units of one kind that ``full`` keeps in its layers."""
    for layer in full.layers:
        if kind == "group":
            plan = plan.with_groups(layer.index, layer.groups)
        elif kind == "channel":
            plan = plan.with_channels(layer.index, layer.channels)
        else:
            plan = plan.with_heads(layer.index, _heads_of_all(plan, layer))
    return plan


def _heads_of_all(plan: PruningPlan, full: LayerPlan) -> list[tuple[int, ...]]:
    """Return the query heads that ``full`` keeps, for all groups: those of a group that it drops go last."""
    sharing = plan.shape.heads_per_group(full.index)
    chosen = {group: full.heads_of(position, sharing) for position, group in enumerate(full.groups)}
    count = len(next(iter(chosen.values())))
    groups = next(layer.groups for layer in plan.layers if layer.index == full.index)
    return [chosen.get(group, tuple(range(count))) for group in groups]


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


def hand_plan(hand: HandAllocation, identity: PruningPlan) -> PruningPlan:
    """Return a plan of the shape that an allocation by hand leaves."""
    check_hand(hand, identity)
    counts = hand_counts(hand, identity)
    plan = identity.without_layers(range(hand.layers, identity.shape.n_layers))
    for layer in plan.layers:
        plan = plan.with_groups(layer.index, range(counts["groups"]))
        plan = plan.with_channels(layer.index, range(counts["channels"]))
    return plan
