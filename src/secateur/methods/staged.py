"""Methods made of stages: the loop over them, with records, floors and resumption."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from torch import nn

from secateur.core.progress import console
from secateur.methods.base import Changes, Compression
from secateur.methods.floor import NO_FLOORS, Floors
from secateur.methods.records import StageRecord
from secateur.methods.settings import SearchSettings
from secateur.methods.stage import State, Workbench
from secateur.methods.stage_store import StageStore, fingerprint
from secateur.recovery.settings import StudentSettings
from secateur.structure.budget import Budget
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Target, predicted
from secateur.surgery.apply import own_what_is_shared
from secateur.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage to come.

    Parameters
    ----------
    name : str
    steps : int
        Recovery steps after it, beside those that earlier stages did not use.
    """

    name: str
    steps: int


class Planner(Protocol):
    """What a staged method decides: the cut of each stage, on the model that the last one left."""

    def plan(
        self, state: State, stage: str, records: Sequence[StageRecord]
    ) -> tuple[PruningPlan, dict[str, Any]]:
        """Return what stays, in indices of ``state.model``, and what the choice rests on."""


class Staged:
    """A method that cuts in stages; subclasses say which stages, and plan each of them."""

    name: ClassVar[str]
    keeps_weights: ClassVar = True
    changes: ClassVar[Changes] = "units"
    search: SearchSettings
    floors: Floors = NO_FLOORS

    def settings_of_run(self) -> Any:
        """Return what the outcome depends on, for the fingerprint of stored stages."""
        raise NotImplementedError

    def stages(self, total_steps: int) -> tuple[Stage, ...]:
        """Return the stages in order."""
        raise NotImplementedError

    def planner(self, bench: Workbench, target: Target, store: StageStore) -> Planner:
        """Return what plans the stages."""
        raise NotImplementedError

    def compress(
        self,
        model: nn.Module,
        task: Task,
        budget: Budget | None,
        recovery: StudentSettings | None,
        out: Path | None = None,
    ) -> Compression:
        """See :class:`secateur.methods.base.Method`; with a hand allocation the budget may be None."""
        found = self._through_stages(model, task, budget, recovery, out)
        own_what_is_shared(found.model, model)
        return found

    def _through_stages(
        self,
        model: nn.Module,
        task: Task,
        budget: Budget | None,
        recovery: StudentSettings | None,
        out: Path | None,
    ) -> Compression:
        bench = Workbench(self.name, model, task, self.search, recovery)
        target = bench.target(budget)
        run = fingerprint(
            model,
            task,
            settings=self.settings_of_run(),
            recovery=recovery,
            seed=task.seed,
            **target.fingerprint(),
        )
        store, state = StageStore(out, run), bench.start()
        planner = self.planner(bench, target, store)
        self.floors.require_dense(state.figures)
        if self.search.hand is None and target.met_by(state.plan):
            return self._whole(bench)
        dense, carried = state.figures, 0
        records: list[StageRecord] = []
        stages = self.stages(bench.total_steps)
        for number, stage in enumerate(stages, start=1):
            former, available = state, stage.steps + carried
            state, record = store.read(number, stage.name) or self._carry_out(
                bench, store, planner, former, records, stage.name, available, is_last=number == len(stages)
            )
            carried = available if record.recovery_steps == 0 else 0
            broken = self.floors.broken_by(record.after_recovery, dense)
            if broken is not None:
                records.append(replace(record, accepted=False))
                return self._stopped(bench, former, tuple(records), broken)
            records.append(record)
        return Compression.by_plan(
            method=self.name, model=state.model, plan=state.plan, records=tuple(records)
        )

    def _carry_out(
        self,
        bench: Workbench,
        store: StageStore,
        planner: Planner,
        state: State,
        records: Sequence[StageRecord],
        stage: str,
        steps: int,
        *,
        is_last: bool,
    ) -> tuple[State, StageRecord]:
        number, started = len(records) + 1, time.perf_counter()
        relative, decisions = planner.plan(state, stage, records)
        whole = state.plan.then(relative)
        if found := predicted(bench.limits, whole):
            decisions = {**decisions, "predicted": found}
        result = bench.cut_and_recover(
            state,
            relative,
            stage=stage,
            number=number,
            steps=0 if relative.is_identity and not is_last else steps,
            target_parameters=None if self.search.hand else parameters(whole),
            decisions=decisions,
            started=started,
            out=store.recovery_place(number, stage),
        )
        store.write(*result)
        return result

    def _whole(self, bench: Workbench) -> Compression:
        return Compression.by_plan(
            method=self.name, model=bench.copy_of_dense(), plan=bench.identity, records=()
        )

    def _stopped(
        self, bench: Workbench, former: State, records: tuple[StageRecord, ...], broken: str
    ) -> Compression:
        last = records[-1]
        headline = former.figures.headline
        worth = f" at {headline.words} {getattr(former.figures, headline.figure):.4f}" if headline else ""
        reason = (
            f"after stage {last.number} ({last.stage}) the model had {broken}; the model before that stage "
            f"is kept, with {former.figures.parameters:,} parameters{worth}."
        )
        console.print(reason)
        return Compression.by_plan(
            method=self.name,
            model=bench.copy_of_dense() if former.model is bench.dense else former.model,
            plan=former.plan,
            records=records,
            stopped_by_floor=True,
            reason=reason,
        )
