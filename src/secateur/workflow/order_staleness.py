"""Staleness of every granularity after every stage, of one dense model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from secateur.core.progress import track
from secateur.core.records import to_jsonable
from secateur.core.seeds import derive
from secateur.methods.cuts import KIND_OF
from secateur.methods.depth import narrowest
from secateur.methods.settings import STAGE_NAMES, StageName
from secateur.methods.stage import Workbench
from secateur.models.binding import bind
from secateur.models.calls import Batch
from secateur.models.diagnoser import Diagnoser
from secateur.models.skipping import skipped
from secateur.scoring.allocation import allocate
from secateur.scoring.objective import references_of, sample_losses
from secateur.scoring.registered import CRITERIA
from secateur.sia.staleness import (
    GRANULARITIES,
    Granularity,
    Halves,
    layer_scores,
    staleness,
    width_scores,
)
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.tasks.windows import WindowTask
from secateur.workflow.order_arms import stage_model
from secateur.workflow.order_settings import ORDERS, OrderSettings

How = Literal["matched", "cascade"]

GRANULARITY_OF: dict[StageName, Granularity] = {"layers": "layer", "groups": "group", "channels": "channel"}
RECOVERY_SHARE = 1 / 3
"""Of the recovery steps, for a matched stage: what one of three equal stages would get."""


class Scorer:
    """Scores all granularities of any cut of one dense model, on all calibration windows and two halves.

    Groups and channels are scored by the criterion of the search, layers by the exact loss of their removal,
    as the cascade does.

    Parameters
    ----------
    dense : Diagnoser
        Its answers are what layer losses are measured against.
    task : WindowTask
    criterion : str
    """

    def __init__(self, dense: Diagnoser, task: WindowTask, criterion: str) -> None:
        self._criterion, self._seed = CRITERIA.get(criterion)(), task.seed
        self._parts = {
            "whole": task.calibration,
            **dict(zip(("first", "second"), calibration_halves(task.calibration), strict=True)),
        }
        self._references = {name: references_of(dense, part) for name, part in self._parts.items()}

    def score(self, model: nn.Module, plan: PruningPlan) -> dict[Granularity, Halves]:
        """Score ``model``, which ``plan`` left of the dense one."""
        found = {name: self._on(name, model, plan) for name in self._parts}
        return {
            granularity: Halves(**{name: scores[granularity] for name, scores in found.items()})
            for granularity in GRANULARITIES
        }

    def _on(self, name: str, model: nn.Module, plan: PruningPlan) -> dict[Granularity, Mapping[Any, float]]:
        batches, bound = self._parts[name], bind(model)
        scores = self._criterion.score(model, bound, batches, seed=self._seed)
        whole = float(sample_losses(model, batches, self._references[name]).mean())
        increases = []
        for position in range(len(bound.layers)):
            with skipped(bound, (position,)):
                without = float(sample_losses(model, batches, self._references[name]).mean())
            increases.append(without - whole)
        return {
            "layer": layer_scores(increases, plan),
            "group": width_scores(scores, plan, "group"),
            "channel": width_scores(scores, plan, "channel"),
        }


def calibration_halves(batches: tuple[Batch, ...]) -> tuple[tuple[Batch, ...], tuple[Batch, ...]]:
    """Divide calibration batches into two parts without a common window, classes as even as they were.

    Windows are stratified so that neighbours are of different classes; turns of all classes go to either
    half by turns.
    """
    labels = torch.cat([batch["label"] for batch in batches])
    turn = max(len(torch.unique(labels)), 1)
    halves: tuple[list[Batch], list[Batch]] = ([], [])
    first = 0
    for batch in batches:
        count = len(batch["label"])
        odd = (torch.arange(first, first + count) // turn) % 2 == 1
        first += count
        for half, chosen in zip(halves, (~odd, odd), strict=True):
            if chosen.any():
                half.append({name: values[chosen] for name, values in batch.items()})
    return tuple(halves[0]), tuple(halves[1])


def matched_cuts(bench: Workbench) -> dict[StageName, PruningPlan]:
    """Cut each granularity alone so that the parameters left are as equal as may be.

    The size is that of as many whole layers as groups alone and channels alone could give up too, and of
    one layer at least; a width that cannot give up as much is cut down to one unit a layer.
    """
    identity = bench.identity
    widths: tuple[StageName, ...] = ("groups", "channels")
    floors = {stage: parameters(_narrowest(identity, stage)) for stage in widths}
    n_removed = max(
        (
            n
            for n in range(1, max(2, len(identity.layers) // 2 + 1))
            if parameters(identity.without_layers(range(n))) >= max(floors.values())
        ),
        default=1,
    )
    ranking = bench.rank_layers(bench.dense, n_removed)
    cuts: dict[StageName, PruningPlan] = {"layers": identity.without_layers(ranking.order[:n_removed])}
    target, scores = parameters(cuts["layers"]), bench.score(bench.dense)
    for stage in widths:
        cuts[stage] = allocate(
            scores, identity, max(target, floors[stage]), multiple=1, kinds=(KIND_OF[stage],)
        )
    return cuts


def _narrowest(identity: PruningPlan, stage: StageName) -> PruningPlan:
    plan = identity
    for layer in narrowest(identity).layers:
        if stage == "groups":
            plan = plan.with_groups(layer.index, layer.groups)
        else:
            plan = plan.with_channels(layer.index, layer.channels)
    return plan


def measure_staleness(
    dense: Diagnoser, task: WindowTask, settings: OrderSettings, stages_of: Mapping[str, Path]
) -> list[dict[str, Any]]:
    """Measure all pairs twice: after matched single stages, and after the first stage of a cascade.

    Parameters
    ----------
    dense : Diagnoser
    task : WindowTask
    settings : OrderSettings
    stages_of : mapping
        Name of an order to the folder of its finished stages. Orders that failed are left out.

    Returns
    -------
    list of dict
        One entry for each ``how`` ("matched" or "cascade"), ``stage`` (what was cut; none where the cascade
        cut nothing) and ``of`` (what is scored), with the fields of
        :class:`secateur.sia.staleness.Staleness`, the parameters left, the steps of recovery and the KL from
        the dense model on validation.
    """
    search, steps = settings.search, round(RECOVERY_SHARE * settings.recovery.max_steps)
    bench = Workbench("staleness", dense, task, search, settings.recovery)
    scorer = Scorer(dense, task, search.criterion)
    before = scorer.score(dense, bench.identity)
    found: list[dict[str, Any]] = []

    def compare(
        how: How, stage: StageName, model: nn.Module, plan: PruningPlan, facts: dict[str, Any]
    ) -> None:
        after = scorer.score(model, plan)
        for granularity in GRANULARITIES:
            measured = staleness(
                before[granularity],
                after[granularity],
                seed=derive(task.seed, "staleness", how, stage, granularity),
            )
            found.append(
                to_jsonable({"how": how, "stage": stage, "of": granularity, **facts, **vars(measured)})
            )

    for stage, cut in track(list(matched_cuts(bench).items()), "staleness after single stages"):
        state, record = bench.cut_and_recover(
            bench.start(),
            cut,
            stage=stage,
            number=1,
            steps=steps,
            target_parameters=None,
            decisions={},
            started=time.perf_counter(),
        )
        compare("matched", stage, state.model, state.plan, _facts(to_jsonable(record)))
    for stage in track(STAGE_NAMES, "staleness in the cascade"):
        name = next((name for name in ORDERS if ORDERS[name][0] == stage and name in stages_of), None)
        if name is not None:
            model, plan, told = stage_model(stages_of[name], 1, stage)
            # a stage that had nothing to cut makes nothing stale
            if not plan.is_identity:
                compare("cascade", stage, model, plan, _facts(told))
    return found


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    after = record["after_recovery"]
    return {
        "removed": {
            "layers": len(record["removed_layers"]),
            "groups": record["removed_groups"],
            "channels": record["removed_channels"],
        },
        "parameters": after["parameters"],
        "recovery_steps": record["recovery_steps"],
        "kl": after["kl"],
    }
