"""One-shot pruning: importance estimated once, on the dense model; one cut; all recovery at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from secateur.core.records import to_jsonable
from secateur.methods.base import METHODS
from secateur.methods.cuts import check_hand, hand_counts
from secateur.methods.depth import DepthChoice, candidate_starts, choose_depth, removable_layers
from secateur.methods.largest import largest_plan
from secateur.methods.records import StageRecord
from secateur.methods.settings import SearchSettings
from secateur.methods.stage import State, Workbench
from secateur.methods.stage_store import StageStore
from secateur.methods.staged import Stage, Staged
from secateur.scoring.allocation import allocate, keep_best
from secateur.scoring.layers import LayerRanking
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Target


@METHODS.register("one_shot")
class OneShot(Staged):
    """The cascade's units, criterion, search and recovery, without its stages.

    Layers are ordered by the loss of removing each alone, and every candidate depth is cut by the same
    scores of the dense model. The difference from the cascade is therefore the re-estimation alone.

    Parameters
    ----------
    settings : SearchSettings
    """

    name: ClassVar = "one_shot"

    def __init__(self, settings: SearchSettings | None = None) -> None:
        self.search = settings or SearchSettings()

    def settings_of_run(self) -> SearchSettings:
        """See :class:`Staged`."""
        return self.search

    def stages(self, total_steps: int) -> tuple[Stage, ...]:
        """See :class:`Staged`."""
        return (Stage(name=self.name, steps=total_steps),)

    def planner(self, bench: Workbench, target: Target, store: StageStore) -> _Planner:
        """See :class:`Staged`."""
        return _Planner(bench, target, store)


class _Planner:
    def __init__(self, bench: Workbench, target: Target, store: StageStore) -> None:
        self.bench, self.target, self.store = bench, target, store

    def plan(
        self, state: State, stage: str, records: Sequence[StageRecord]
    ) -> tuple[PruningPlan, dict[str, Any]]:
        """Return the only cut."""
        del state, stage, records
        plan, choice = plan_once(self.bench, self.target, self.store)
        return plan, to_jsonable({"depth": choice.layers, "ranking": choice.ranking, "probes": choice.probes})


def plan_once(bench: Workbench, target: Target, store: StageStore) -> tuple[PruningPlan, DepthChoice]:
    """Return the full plan that scores of the dense model alone give, and how its depth was chosen."""
    identity, search = bench.identity, bench.search
    scores = bench.score(bench.dense)
    single = store.remember("ranking", lambda: bench.rank_layers(bench.dense, 0))
    order = tuple(int(layer) for layer in np.argsort(single["single_increases"], kind="stable"))
    ranking = LayerRanking(
        order=order, losses=tuple(single["losses"]), single_increases=tuple(single["single_increases"])
    )
    if search.hand is not None:
        check_hand(search.hand, identity)
        start = identity.without_layers(order[: len(order) - search.hand.layers])
        plan = keep_best(scores, start, **hand_counts(search.hand, identity))
        return plan, DepthChoice(layers=search.hand.layers, ranking=ranking, probes=())

    def full_plan(start: PruningPlan) -> PruningPlan:
        return largest_plan(
            lambda limit: allocate(scores, start, limit, multiple=search.multiple), start, target
        )

    removable = order[: removable_layers(identity, target)]
    starts = candidate_starts(identity, removable, target, limit=search.max_depths)
    choice = choose_depth(
        ranking,
        starts,
        full_plan,
        bench.probe_losses,
        tolerance=search.depth_tolerance,
        remember=store.remember,
    )
    return full_plan(identity.without_layers(order[: len(order) - choice.layers])), choice
