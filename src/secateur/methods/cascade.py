"""The cascade: layers, groups, query heads, channels; each cut and re-fitted on what the last one left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from secateur.core.errors import ConfigError
from secateur.core.records import to_jsonable
from secateur.methods.base import METHODS
from secateur.methods.cuts import KIND_OF, check_hand, equal_share_cut, hand_counts, width_cut
from secateur.methods.depth import DepthChoice, candidate_starts, choose_depth, removable_layers
from secateur.methods.largest import largest_plan
from secateur.methods.records import StageRecord
from secateur.methods.settings import CascadeSettings, split_steps
from secateur.methods.stage import State, Workbench
from secateur.methods.stage_store import StageStore
from secateur.methods.staged import Stage, Staged
from secateur.models.binding import bind
from secateur.scoring.allocation import allocate, keep_best
from secateur.scoring.layers import LayerRanking
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Target
from secateur.surgery.apply import apply


@METHODS.register("cascade")
class Cascade(Staged):
    """Coarse-to-fine structured pruning with re-estimated importance and recovery after every stage.

    How much each granularity gives is measured: candidate depths are cut to the full target (layers by
    exact loss, groups and channels by one ranking of score per parameter), and the shallowest that is as
    good as any is taken; the share of groups and channels then follows from the ranking at that depth,
    taken anew on the recovered model.

    Parameters
    ----------
    settings : CascadeSettings

    References
    ----------
    Wang et al., "Cascaded Multi-Granularity Pruning for On-Device LLM Inference in Industrial IoT",
    arXiv 2606.26861, 2026, for the cascade. Closed units, allocation by measurement and the order of
    re-fit and recovery are this package's.
    """

    name: ClassVar = "cascade"

    def __init__(self, settings: CascadeSettings | None = None) -> None:
        self.settings = settings or CascadeSettings()
        self.search, self.floors = self.settings.search, self.settings.floors

    def settings_of_run(self) -> CascadeSettings:
        """See :class:`Staged`."""
        return self.settings

    def stages(self, total_steps: int) -> tuple[Stage, ...]:
        """See :class:`Staged`."""
        steps = split_steps(total_steps, self.settings.shares)
        return tuple(
            Stage(name=name, steps=own) for name, own in zip(self.settings.order, steps, strict=True)
        )

    def planner(self, bench: Workbench, target: Target, store: StageStore) -> _Planner:
        """See :class:`Staged`."""
        if target.limits and self.settings.order[0] != "layers":
            raise ConfigError(
                f"a latency or memory can be planned only when layers are removed first; the order is "
                f"{', '.join(self.settings.order)}."
            )
        return _Planner(self.settings, bench, target, store)


class _Planner:
    """The cuts of one cascade."""

    def __init__(
        self, settings: CascadeSettings, bench: Workbench, target: Target, store: StageStore
    ) -> None:
        self.settings, self.bench, self.target, self.store = settings, bench, target, store
        self.search, self.hand = settings.search, settings.search.hand
        self.kinds = tuple(KIND_OF[name] for name in settings.order if name != "layers")

    def plan(
        self, state: State, stage: str, records: Sequence[StageRecord]
    ) -> tuple[PruningPlan, dict[str, Any]]:
        """Plan one stage on the model as it now is, and say what the plan rests on."""
        choice = None if records else self._choose_depth()
        depth = records[0].decisions["depth"] if choice is None else choice.layers
        decisions: dict[str, Any] = {"depth": depth}
        if choice is not None:
            decisions["probes"] = to_jsonable(choice.probes)
        identity = bind(state.model).whole_plan
        pending = self.settings.order[len(records) :]
        excess = len(identity.layers) - depth
        if stage == "layers":
            ranking = None
            if choice is not None:
                ranking = choice.ranking
            elif excess > 0:
                ranking = self.bench.rank_layers(state.model, excess)
            decisions["ranking"] = to_jsonable(ranking)
            order = () if ranking is None else ranking.order
            return identity.without_layers(order[:excess]), decisions
        if self.hand is None and excess <= 0 and self.target.met_by(identity):
            return identity, decisions
        kinds = tuple(KIND_OF[name] for name in pending if name != "layers")
        scores = self.bench.score(state.model, kinds)
        if self.hand is not None:
            wanted = {
                name: count for name, count in hand_counts(self.hand, identity).items() if name == stage
            }
            return keep_best(scores, identity, **wanted), decisions
        kind, multiple, size = KIND_OF[stage], self.search.multiple, self.target.parameters
        if excess > 0:
            plan = equal_share_cut(
                scores, identity, size, depth=depth, kind=kind, kinds=kinds, multiple=multiple
            )
        else:
            plan = width_cut(scores, identity, self.target, kind=kind, kinds=kinds, multiple=multiple)
        return plan, decisions

    def _choose_depth(self) -> DepthChoice:
        """Rank the dense model's layers and choose how many of them stay."""
        bench, identity = self.bench, self.bench.identity
        if self.hand is not None:
            check_hand(self.hand, identity)
            ranking = self._ranking(len(identity.layers) - self.hand.layers)
            return DepthChoice(layers=self.hand.layers, ranking=ranking, probes=())
        ranking = self._ranking(removable_layers(identity, self.target))
        starts = candidate_starts(
            identity, ranking.order, self.target, limit=self.search.max_depths, kinds=self.kinds
        )

        def full_plan(start: PruningPlan) -> PruningPlan:
            shallow = apply(bench.dense, start)
            whole, scores = bind(shallow).whole_plan, bench.score(shallow, self.kinds)
            relative = largest_plan(
                lambda limit: allocate(scores, whole, limit, multiple=self.search.multiple, kinds=self.kinds),
                whole,
                self.target,
                kinds=self.kinds,
            )
            return start.then(relative)

        return choose_depth(
            ranking,
            starts,
            full_plan,
            bench.probe_losses,
            tolerance=self.search.depth_tolerance,
            remember=self.store.remember,
        )

    def _ranking(self, n_removed: int) -> LayerRanking:
        found = self.store.remember("ranking", lambda: self.bench.rank_layers(self.bench.dense, n_removed))
        return LayerRanking(**{name: tuple(values) for name, values in found.items()})
