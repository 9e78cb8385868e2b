"""The small shape trained from scratch: what pruning has to beat."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from secateur.core.errors import ConfigError
from secateur.core.seeds import derive
from secateur.methods.base import METHODS, Changes, Compression
from secateur.methods.one_shot import plan_once
from secateur.methods.records import StageRecord, what_was_cut
from secateur.methods.settings import SearchSettings
from secateur.methods.stage import Workbench
from secateur.methods.stage_store import StageStore
from secateur.models.binding import bind
from secateur.recovery.settings import StudentSettings
from secateur.structure.budget import Budget
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from secateur.tasks.base import Task
from secateur.training.loop import run_loop


@METHODS.register("scratch")
class Scratch:
    """A model of the pruned shape with fresh random weights, trained on the task's data.

    It sees as many training samples as the recovery it stands beside: the recovery's ``max_steps`` times
    its batch size, plus ``extra_steps`` (to grant it what the dense model saw as well). It learns from the
    data alone, as a model that has no dense predecessor must; only embeddings, which have nothing else to
    learn, are learnt from the dense model's.

    Parameters
    ----------
    settings : SearchSettings
        How the shape is found when no plan is given.
    plan : PruningPlan, optional
        The shape to train, such as that of a cascade; by default the one-shot plan of the budget.
    extra_steps : int
        Steps beside the recovery's.
    """

    name: ClassVar = "scratch"
    keeps_weights: ClassVar = False
    changes: ClassVar[Changes] = "units"

    def __init__(
        self,
        settings: SearchSettings | None = None,
        *,
        plan: PruningPlan | None = None,
        extra_steps: int = 0,
    ) -> None:
        if extra_steps < 0:
            raise ConfigError(f"extra_steps is {extra_steps}; it must not be negative.")
        self.settings = settings or SearchSettings()
        self.plan, self.extra_steps = plan, extra_steps

    def compress(
        self,
        model: nn.Module,
        task: Task,
        budget: Budget | None,
        recovery: StudentSettings | None,
        out: Path | None = None,
    ) -> Compression:
        """See :class:`secateur.methods.base.Method`; with a plan the budget may be None.

        ``out`` holds the resumable state of the training.
        """
        if recovery is None:
            raise ConfigError("training from scratch needs recovery settings; their steps are its steps.")
        started = time.perf_counter()
        bench = Workbench(self.name, model, task, self.settings, recovery)
        dense_figures = bench.yardstick.measure(model)
        plan = self.plan
        if plan is None:
            plan = plan_once(bench, bench.target(budget), StageStore(None, {}))[0]
        small = apply(fresh(model, seed=task.seed), plan)
        untrained = bench.yardstick.measure(small)
        settings = task.scratch_settings(
            recovery, extra_steps=self.extra_steps, seed=derive(task.seed, "scratch")
        )
        teacher = None if task.objective.learns_alone else model
        data, loss = task.for_last_fit().learning(small, settings, teacher)
        result = run_loop(small, loss, data, settings, out=out, description="training from scratch")
        record = StageRecord(
            method=self.name,
            stage=self.name,
            number=1,
            target_parameters=parameters(plan),
            **what_was_cut(bench.identity, plan),
            before=dense_figures,
            after_cut=untrained,
            after_refit=untrained,
            after_recovery=bench.yardstick.measure(small),
            recovery_steps=result.steps,
            samples_seen=result.samples_seen,
            refit={},
            decisions={"depth": len(plan.layers)},
            accepted=True,
            seconds=time.perf_counter() - started,
        )
        return Compression.by_plan(method=self.name, model=small, plan=plan, records=(record,))


def fresh(model: nn.Module, *, seed: int) -> nn.Module:
    """Return a model of the same configuration with weights drawn by its own initialiser.

    Its units are exchangeable, so a plan applied to it gives a fresh model of the plan's shape.
    """
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "fresh-weights"))
        drawn = type(model)(model.config)
    if bind(drawn).shape != bind(model).shape:
        raise ConfigError(
            "the model given is already cut: its configuration describes a larger one. Train from scratch "
            "beside the dense model, with the plan of the cut."
        )
    return drawn.to(next(model.parameters()).device)
