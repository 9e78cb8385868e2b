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
from secateur.methods.base import Task
from secateur.methods.records import Figures, StageRecord, Yardstick, what_was_cut
from secateur.methods.settings import SearchSettings
from secateur.methods.targets import target_of
from secateur.models.binding import bind
from secateur.recovery.lora import RecoverySettings, recover
from secateur.scoring.calibration import Batch
from secateur.scoring.layers import LayerRanking, rank_layers
from secateur.scoring.objective import reference_logits, sample_losses
from secateur.scoring.registered import CRITERIA
from secateur.scoring.scores import Scores
from secateur.structure.budget import Budget
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Target
from secateur.surgery.apply import apply
from secateur.training.loop import FitResult
from secateur.training.processes import agreed


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a method stands.

    Parameters
    ----------
    model : nn.Module
        The model now.
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
    recovery : RecoverySettings or None
    """

    def __init__(
        self,
        method: str,
        dense: nn.Module,
        task: Task,
        search: SearchSettings,
        recovery: RecoverySettings | None,
    ) -> None:
        self.method, self.dense, self.task = method, dense, task
        self.search, self.recovery = search, recovery
        bound = bind(dense)
        self.identity = PruningPlan.identity(bound.spec.family, bound.shape)
        self.yardstick = Yardstick(dense, task.validation)
        self.references = reference_logits(dense, task.calibration)
        self.probe_references = reference_logits(dense, task.probe)

    @property
    def total_steps(self) -> int:
        """Recovery steps over all stages."""
        return 0 if self.recovery is None else self.recovery.max_steps

    @property
    def ranking_batches(self) -> tuple[Batch, ...]:
        """The calibration batches for measurements that take many passes."""
        size = len(self.task.calibration[0]["label"])
        return self.task.calibration[: -(-self.search.ranking_samples // size)]

    def target(self, budget: Budget | None) -> Target:
        """Return what the finished model may cost: the budget's target, or the size chosen by hand.

        Raises
        ------
        PlanError
            If the budget cannot be reached, or the allocation by hand exceeds it.
        """
        return target_of(self.identity, budget, self.search.hand)

    def start(self) -> State:
        """Return the state from which a method starts: a copy of the dense model."""
        model = deepcopy(self.dense).eval()
        return State(model=model, plan=self.identity, figures=self.yardstick.measure(model))

    def rank_layers(self, model: nn.Module, n_removed: int) -> LayerRanking:
        """Rank layers of a model by the exact loss of their removal, against the dense model's answers."""
        batches = self.ranking_batches
        references = self.references[: len(batches)]
        return agreed(rank_layers(model, bind(model), batches, references, n_removed=n_removed))

    def score(self, model: nn.Module) -> Scores:
        """Score the groups and channels of a model by the chosen criterion."""
        criterion = CRITERIA.get(self.search.criterion)()
        return agreed(criterion.score(model, bind(model), self.task.calibration, seed=self.task.seed))

    def probe_losses(self, plan: PruningPlan) -> np.ndarray:
        """Cut the dense model, re-fit it, give it the probe's recovery, and return its loss a window."""
        candidate = apply(self.dense, plan)
        self._refit(candidate, plan, self.ranking_batches)
        self._recover(candidate, self.search.probe_steps, f"probe-{len(plan.layers)}", None)
        return agreed(sample_losses(candidate, self.task.probe, self.probe_references).numpy())

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
        model = apply(state.model, relative)
        after_cut = self.yardstick.measure(model)
        report = {}
        after_refit = after_cut
        if not relative.is_identity:
            refitted = deepcopy(model)
            report = self._refit(refitted, plan, self.task.calibration)
            after_refit = self.yardstick.measure(refitted) if report else after_cut
            # a projection closer to the dense one does not always make better logits
            if report and after_refit.kl < after_cut.kl:
                model = refitted
            elif report:
                report, after_refit = {**report, "undone": True}, after_cut
        done = self._recover(model, steps, stage, out)
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

    def _refit(self, model: nn.Module, plan: PruningPlan, batches: tuple[Batch, ...]) -> dict[str, Any]:
        if self.recovery is not None and not self.recovery.refit:
            return {}
        return to_jsonable(refit(model, plan, self.dense, batches))

    def _recover(self, model: nn.Module, steps: int, name: str, out: Path | None) -> FitResult | None:
        if self.recovery is None or steps < 1:
            return None
        settings = replace(
            self.recovery,
            max_steps=steps,
            warmup_steps=min(self.recovery.warmup_steps, steps // 4),
            evaluate_every=min(self.recovery.evaluate_every, steps),
            seed=derive(self.task.seed, self.method, name),
        )
        return recover(model, self.dense, self.task.train, self.task.validation, settings, out)
