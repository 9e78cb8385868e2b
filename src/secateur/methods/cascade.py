"""The cascade: layers, then groups, then channels; each cut on the recovered model and recovered itself."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from secateur.core.errors import ConfigError
from secateur.core.progress import console
from secateur.core.records import to_jsonable
from secateur.methods.base import METHODS, Compression, Task
from secateur.methods.cuts import KIND_OF, check_hand, equal_share_cut, hand_counts, width_cut
from secateur.methods.depth import DepthChoice, candidate_starts, choose_depth, removable_layers
from secateur.methods.largest import largest_plan
from secateur.methods.records import StageRecord
from secateur.methods.settings import CascadeSettings, StageName, split_steps
from secateur.methods.stage import State, Workbench
from secateur.methods.stage_store import StageStore, fingerprint
from secateur.recovery.lora import RecoverySettings
from secateur.scoring.allocation import allocate, keep_best
from secateur.structure.budget import Budget
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Target, predicted
from secateur.surgery.apply import apply


@METHODS.register("cascade")
class Cascade:
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
    keeps_weights: ClassVar = True

    def __init__(self, settings: CascadeSettings | None = None) -> None:
        self.settings = settings or CascadeSettings()

    def compress(
        self,
        model: nn.Module,
        task: Task,
        budget: Budget | None,
        recovery: RecoverySettings | None,
        out: Path | None = None,
    ) -> Compression:
        """See :class:`secateur.methods.base.Method`; with a hand allocation the budget may be None."""
        bench = Workbench(self.name, model, task, self.settings.search, recovery)
        target = bench.target(budget)
        store = StageStore(
            out,
            fingerprint(
                model,
                (task.train.labels, task.validation.labels),
                settings=self.settings,
                recovery=recovery,
                seed=task.seed,
                **target.fingerprint(),
            ),
        )
        return _Run(self.settings, bench, target, store).go()


class _Run:
    """One cascade under way."""

    def __init__(
        self, settings: CascadeSettings, bench: Workbench, target: Target, store: StageStore
    ) -> None:
        self.settings, self.bench, self.target, self.store = settings, bench, target, store
        self.hand = settings.search.hand

    def go(self) -> Compression:
        """Run or resume every stage."""
        if self.target.limits and self.settings.order[0] != "layers":
            raise ConfigError(
                f"a latency or memory can be planned only when layers are removed first; the order is "
                f"{', '.join(self.settings.order)}."
            )
        state, records, carried = self.bench.start(), [], 0
        floor = self.settings.min_accuracy
        if floor is not None and state.figures.accuracy < floor:
            raise ConfigError(
                f"the dense model has a validation accuracy of {state.figures.accuracy:.4f}, which is under "
                f"the floor of {floor:g}; lower the floor or train the dense model further."
            )
        if self.hand is None and self.target.met_by(state.plan):
            return Compression(method=Cascade.name, model=state.model, plan=state.plan, records=())
        steps = split_steps(self.bench.total_steps, self.settings.recovery_shares)
        for number, stage in enumerate(self.settings.order, start=1):
            former, available = state, steps[number - 1] + carried
            state, record = self._stage(former, records, stage, available)
            carried = available if record.recovery_steps == 0 else 0
            if floor is not None and record.after_recovery.accuracy < floor:
                records.append(replace(record, accepted=False))
                return self._stopped(former, tuple(records), floor)
            records.append(record)
        return Compression(method=Cascade.name, model=state.model, plan=state.plan, records=tuple(records))

    def _stage(
        self, state: State, records: list[StageRecord], stage: StageName, steps: int
    ) -> tuple[State, StageRecord]:
        number = len(records) + 1
        kept = self.store.read(number, stage)
        if kept is not None:
            console.print(f"stage {number} ({stage}) is taken from {self.store.place(number, stage)}")
            return kept
        started = time.perf_counter()
        choice = None
        if records:
            depth = records[0].decisions["depth"]
        else:
            choice = self._choose_depth()
            depth = choice.layers
        relative, decisions = self._cut(state, stage, depth, choice)
        is_last = number == len(self.settings.order)
        result = self.bench.cut_and_recover(
            state,
            relative,
            stage=stage,
            number=number,
            steps=0 if relative.is_identity and not is_last else steps,
            target_parameters=None if self.hand else parameters(state.plan.then(relative)),
            decisions={"depth": depth, **decisions, **self._predicted(state.plan.then(relative))},
            started=started,
            out=self.store.recovery_place(number, stage),
        )
        self.store.write(*result)
        return result

    def _choose_depth(self) -> DepthChoice:
        """Rank the dense model's layers and choose how many of them stay."""
        bench, identity = self.bench, self.bench.identity
        n_layers = len(identity.layers)
        if self.hand is not None:
            check_hand(self.hand, identity)
            ranking = bench.rank_layers(bench.dense, n_layers - self.hand.layers)
            return DepthChoice(layers=self.hand.layers, ranking=ranking, probes=())
        ranking = bench.rank_layers(bench.dense, removable_layers(identity, self.target))
        starts = candidate_starts(identity, ranking.order, self.target, limit=self.settings.search.max_depths)

        def full_plan(start: PruningPlan) -> PruningPlan:
            shallow = apply(bench.dense, start)
            whole, scores = PruningPlan.identity(start.family, start.result), bench.score(shallow)
            relative = largest_plan(
                lambda limit: allocate(scores, whole, limit, multiple=self.settings.search.multiple),
                whole,
                self.target,
            )
            return start.then(relative)

        return choose_depth(
            ranking, starts, full_plan, bench.probe_losses, tolerance=self.settings.search.depth_tolerance
        )

    def _cut(
        self, state: State, stage: StageName, depth: int, choice: DepthChoice | None
    ) -> tuple[PruningPlan, dict[str, Any]]:
        """Plan one stage on the model as it now is, and say what the plan rests on."""
        decisions = {"probes": to_jsonable(choice.probes)} if choice is not None else {}
        identity = PruningPlan.identity(state.plan.family, state.plan.result)
        pending = self.settings.order[self.settings.order.index(stage) :]
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
        scores = self.bench.score(state.model)
        if self.hand is not None:
            counts = hand_counts(self.hand, identity)
            return keep_best(scores, identity, **{stage: counts[stage]}), decisions
        kinds = tuple(KIND_OF[name] for name in pending if name != "layers")
        options = {"kind": KIND_OF[stage], "kinds": kinds, "multiple": self.settings.search.multiple}
        if excess > 0:
            size = self.target.parameters
            return equal_share_cut(scores, identity, size, depth=depth, **options), decisions
        return width_cut(scores, identity, self.target, **options), decisions

    def _predicted(self, plan: PruningPlan) -> dict[str, Any]:
        found = predicted(self.target.limits, plan)
        return {"predicted": found} if found else {}

    def _stopped(self, former: State, records: tuple[StageRecord, ...], floor: float) -> Compression:
        last = records[-1]
        reason = (
            f"after stage {last.number} ({last.stage}) the validation accuracy was "
            f"{last.after_recovery.accuracy:.4f}, under the floor of {floor:g}; the model before that stage "
            f"is kept, with {former.figures.parameters:,} parameters at {former.figures.accuracy:.4f}."
        )
        console.print(reason)
        return Compression(
            method=Cascade.name,
            model=former.model,
            plan=former.plan,
            records=records,
            stopped_by_floor=True,
            reason=reason,
        )
