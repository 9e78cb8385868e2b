"""One cut and what follows it: re-fit, recovery, measurement. Shared by all methods that cut."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from secateur.blockwise.refit import refit
from secateur.core.records import to_jsonable
from secateur.core.seeds import derive
from secateur.methods.compensation import Compensated, compensated
from secateur.methods.records import StageRecord, what_was_cut
from secateur.methods.settings import SearchSettings
from secateur.methods.targets import target_of
from secateur.models.binding import bind
from secateur.models.calls import Batch, rows
from secateur.models.origin import require_whole_weights
from secateur.recovery.recover import recover
from secateur.recovery.settings import StudentSettings
from secateur.scoring.layers import LayerRanking, rank_layers
from secateur.scoring.objective import references_of, sample_losses
from secateur.scoring.registered import criterion_for
from secateur.scoring.scores import ScoredKind, Scores
from secateur.structure.budget import Budget
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Limit, Target
from secateur.surgery.apply import apply, own_what_is_shared
from secateur.tasks.base import Task, Yardstick
from secateur.tasks.figures import Figures
from secateur.tasks.kinds import require_fit
from secateur.tasks.objective import Reference
from secateur.training.loop import FitResult
from secateur.training.processes import agreed


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a method stands.

    Parameters
    ----------
    model : nn.Module
        The model now; not to be changed.
    plan : PruningPlan
        What it keeps of the dense model.
    figures : Figures
        Its figures on validation.
    """

    model: nn.Module
    plan: PruningPlan
    figures: Figures


class Workbench:
    """The dense model, the task and the settings of one run, and the steps that methods are made of.

    Parameters
    ----------
    method : str
        Name for the records.
    dense : nn.Module
        Never changed.
    task : Task
    search : SearchSettings
    recovery : StudentSettings or None

    Raises
    ------
    ConfigError
        If the model does not fit the task, or its weights are in a compact form that a cut would not keep.
    """

    def __init__(
        self,
        method: str,
        dense: nn.Module,
        task: Task,
        search: SearchSettings,
        recovery: StudentSettings | None,
    ) -> None:
        require_fit(dense, task.objective, task.name)
        require_whole_weights(dense)
        self.method, self.dense, self.task = method, dense, task
        self.search, self.recovery = search, recovery
        self.identity = bind(dense).whole_plan
        self.yardstick = Yardstick(task, dense)
        self.limits: tuple[Limit, ...] = ()
        self._references: dict[str, list[Reference]] = {}

    @property
    def total_steps(self) -> int:
        """Recovery steps over all stages."""
        return 0 if self.recovery is None else self.recovery.max_steps

    @property
    def ranking_batches(self) -> tuple[Batch, ...]:
        """The calibration batches for measurements that take many passes."""
        size = rows(self.task.calibration[0])
        return self.task.calibration[: -(-self.search.ranking_samples // size)]

    def references(self, name: str, batches: tuple[Batch, ...]) -> list[Reference]:
        """Return the dense model's answers to some batches, kept under a name."""
        if name not in self._references:
            self._references[name] = references_of(self.dense, batches)
        return self._references[name]

    def target(self, budget: Budget | None) -> Target:
        """Return what the finished model may cost: the budget's target, or the size chosen by hand.

        Raises
        ------
        PlanError
            If the budget cannot be reached, or the allocation by hand exceeds it.
        """
        target = target_of(self.identity, budget, self.search.hand)
        self.limits = target.limits
        return target

    def start(self) -> State:
        """Return the state from which a method starts: the dense model."""
        return State(model=self.dense, plan=self.identity, figures=self.yardstick.measure(self.dense))

    def copy_of_dense(self) -> nn.Module:
        """Return a copy of the dense model, in evaluation mode."""
        return deepcopy(self.dense).eval()

    def rank_layers(self, model: nn.Module, n_removed: int) -> LayerRanking:
        """Rank layers of a model by the exact loss of their removal, against the dense model's answers."""
        batches = self.ranking_batches
        return agreed(
            rank_layers(
                model,
                bind(model),
                batches,
                self.references("ranking", batches),
                n_removed=n_removed,
                candidates=self.search.layer_candidates,
            )
        )

    def score(self, model: nn.Module, kinds: tuple[ScoredKind, ...] = ("group", "channel")) -> Scores:
        """Score the units of a model by the chosen criterion."""
        criterion = criterion_for(self.search.criterion, self.task.objective, kinds)
        return agreed(criterion.score(model, bind(model), self.task.calibration, seed=self.task.seed))

    def probe_losses(self, plan: PruningPlan) -> np.ndarray:
        """Cut the dense model, re-fit it, give it the probe's recovery, and return its loss a sample."""
        candidate = apply(self.dense, plan)
        self._refit(candidate, plan, self.ranking_batches)
        self._recover(candidate, self.task, self.search.probe_steps, f"probe-{len(plan.layers)}")
        references = self.references("probe", self.task.probe)
        return agreed(sample_losses(candidate, self.task.probe, references).numpy())

    def cut_and_recover(
        self,
        state: State,
        relative: PruningPlan,
        *,
        stage: str,
        number: int,
        steps: int,
        target_parameters: int | None,
        decisions: dict[str, Any],
        started: float,
        out: Path | None = None,
    ) -> tuple[State, StageRecord]:
        """Carry out one stage.

        Parameters
        ----------
        state : State
            Before it; left as it is.
        relative : PruningPlan
            What to keep, in indices of ``state.model``.
        stage, number, target_parameters, decisions
            For the record.
        steps : int
            Recovery steps.
        started : float
            ``time.perf_counter()`` when the stage began to be planned.
        out : Path, optional
            Folder of the recovery's own resumable state.
        """
        plan = state.plan.then(relative)
        cut = self._cut(state.model, relative)
        if cut.record:
            decisions = {**decisions, "compensation": cut.record}
        after_cut = self.yardstick.measure(cut.model)
        model, after_refit, report = self._refitted(state, cut.model, relative, after_cut)
        if self.recovery is not None and steps > 0:
            own_what_is_shared(model, state.model)
        done = self._recover(model, self.task.for_last_fit(), steps, stage, out)
        after_recovery = self.yardstick.measure(model) if done is not None else after_refit
        record = StageRecord(
            method=self.method,
            stage=stage,
            number=number,
            target_parameters=target_parameters,
            **what_was_cut(state.plan, plan),
            before=state.figures,
            after_cut=after_cut,
            after_refit=after_refit,
            after_recovery=after_recovery,
            recovery_steps=0 if done is None else done.steps,
            samples_seen=0 if done is None else done.samples_seen,
            refit=report,
            decisions=decisions,
            accepted=True,
            seconds=time.perf_counter() - started,
        )
        return State(model=model, plan=plan, figures=after_recovery), record

    def _cut(self, model: nn.Module, relative: PruningPlan) -> Compensated:
        """Return a smaller copy; what is not cut of it is still that of ``model``."""
        small = apply(model, relative, owns_rest=False)
        if not relative.removed_layers or not self.task.calibration:
            return Compensated(model=small, record={})
        batches = self.ranking_batches
        return compensated(model, small, relative, batches, self.references("ranking", batches))

    def _refitted(
        self, state: State, model: nn.Module, relative: PruningPlan, after_cut: Figures
    ) -> tuple[nn.Module, Figures, dict[str, Any]]:
        """Re-fit a model cut from that of a state where that brings it nearer to the dense one.

        A projection closer to the dense one does not always make better logits. The cut is then made anew,
        which takes no memory as long as the re-fit is good, as it mostly is.
        """
        if relative.is_identity:
            return model, after_cut, {}
        report = self._refit(model, state.plan.then(relative), self.task.fitting)
        if not report:
            return model, after_cut, {}
        after_refit = self.yardstick.measure(model)
        if after_cut.kl is not None and after_refit.kl is not None and after_refit.kl >= after_cut.kl:
            return self._cut(state.model, relative).model, after_cut, {**report, "undone": True}
        return model, after_refit, report

    def _refit(self, model: nn.Module, plan: PruningPlan, batches: tuple[Batch, ...]) -> dict[str, Any]:
        if not batches or (self.recovery is not None and not self.recovery.refit):
            return {}
        target, rounds = self.search.refit_target, self.task.objective.rounds
        return to_jsonable(refit(model, plan, self.dense, batches, target=target, rounds=rounds))

    def _recover(
        self, model: nn.Module, task: Task, steps: int, name: str, out: Path | None = None
    ) -> FitResult | None:
        if self.recovery is None or steps < 1:
            return None
        settings = replace(
            self.recovery,
            max_steps=steps,
            evaluate_every=min(self.recovery.evaluate_every, steps),
            seed=derive(self.task.seed, self.method, name),
        )
        return recover(model, self.dense, task, settings, out)
