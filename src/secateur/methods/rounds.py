"""Cut, re-fit, score again: all layers made narrower in rounds, without a gradient step in between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from secateur.core.errors import PlanError
from secateur.methods.base import METHODS
from secateur.methods.cuts import hand_counts
from secateur.methods.largest import largest_plan
from secateur.methods.records import StageRecord
from secateur.methods.settings import HandAllocation, RoundsSettings
from secateur.methods.stage import State, Workbench
from secateur.methods.stage_store import StageStore
from secateur.methods.staged import Stage, Staged
from secateur.models.binding import bind
from secateur.scoring.allocation import allocate, keep_best
from secateur.scoring.equal_widths import FEWEST_CHANNELS, equal_widths
from secateur.scoring.scores import ScoredKind
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Target


@METHODS.register("rounds")
class Rounds(Staged):
    """All layers stay and become narrower, in equal steps, each scored on what the last one left.

    Scores go stale as units leave: those of the dense model describe a model that is no more. After each cut
    the output projections are re-fitted to the dense model's outputs in closed form; gradient recovery, if
    any, follows the last.

    Parameters
    ----------
    settings : RoundsSettings
    """

    name: ClassVar = "rounds"

    def __init__(self, settings: RoundsSettings | None = None) -> None:
        self.settings = settings or RoundsSettings()
        self.search, self.floors = self.settings.search, self.settings.floors

    def settings_of_run(self) -> RoundsSettings:
        """See :class:`Staged`."""
        return self.settings

    def stages(self, total_steps: int) -> tuple[Stage, ...]:
        """See :class:`Staged`."""
        count = self.settings.rounds
        return tuple(
            Stage(name=f"round {number} of {count}", steps=total_steps if number == count else 0)
            for number in range(1, count + 1)
        )

    def planner(self, bench: Workbench, target: Target, store: StageStore) -> _Planner:
        """See :class:`Staged`."""
        del store
        return _Planner(self.settings, bench, target)


class _Planner:
    def __init__(self, settings: RoundsSettings, bench: Workbench, target: Target) -> None:
        require_all_layers(settings.search.hand, bench.identity)
        self.settings, self.bench, self.target = settings, bench, target
        self.kinds = settings.kinds or kinds_to_cut(
            settings.search.criterion, bench.identity, target.parameters
        )

    def plan(
        self, state: State, stage: str, records: Sequence[StageRecord]
    ) -> tuple[PruningPlan, dict[str, Any]]:
        """Return one round's cut."""
        del stage
        settings, identity = self.settings, bind(state.model).whole_plan
        scores = self.bench.score(state.model, self.kinds)
        if settings.search.hand is not None:
            counts = hand_counts(settings.search.hand, identity)
            return keep_best(scores, identity, **counts), {}
        multiple = settings.search.multiple
        if settings.uniform:
            return equal_widths(scores, identity, self.target.parameters, multiple=multiple), {}
        number, whole = len(records) + 1, parameters(self.bench.identity)
        if number == settings.rounds:
            plan = largest_plan(
                lambda limit: allocate(scores, identity, limit, multiple=multiple, kinds=self.kinds),
                identity,
                self.target,
                kinds=self.kinds,
            )
        else:
            allowed = whole - (whole - self.target.parameters) * number // settings.rounds
            plan = allocate(scores, identity, allowed, multiple=1, kinds=self.kinds)
        return plan, {"kinds": self.kinds}


def require_all_layers(hand: HandAllocation | None, identity: PruningPlan) -> None:
    """Check that a shape by hand leaves all layers, as rounds do.

    Raises
    ------
    PlanError
        If it has fewer.
    """
    layers = identity.shape.n_layers
    if hand is not None and hand.layers != layers:
        raise PlanError(
            f"--layers {hand.layers} was asked for, but method 'rounds' leaves all {layers} layers; give "
            f"--layers {layers}, or choose --method cascade or one_shot, which also remove layers."
        )


def kinds_to_cut(criterion: str, identity: PruningPlan, target_parameters: int) -> tuple[ScoredKind, ...]:
    """Return channels, and groups where they should go too.

    The surgeon weighs both alike, and where query heads share keys a ranking of both leaves a better model.
    In large cuts groups look cheaper than they are to criteria of first order, and to magnitude always; so
    these cut them only where fewer than an eighth of the channels would stay otherwise.
    """
    if criterion == "surgeon" and identity.shape.shares_keys:
        return ("group", "channel")
    plan = identity
    for layer in identity.layers:
        fewest = max(1, int(len(layer.channels) * FEWEST_CHANNELS))
        plan = plan.with_channels(layer.index, layer.channels[:fewest])
    return ("channel",) if parameters(plan) <= target_parameters else ("group", "channel")
