"""One-shot pruning: importance estimated once, on the dense model; one cut; all recovery at the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import nn

from secateur.core.records import to_jsonable
from secateur.methods.base import METHODS, Compression, Task
from secateur.methods.cuts import check_hand, hand_counts
from secateur.methods.depth import DepthChoice, candidate_starts, choose_depth, removable_layers
from secateur.methods.largest import largest_plan
from secateur.methods.settings import SearchSettings
from secateur.methods.stage import Workbench
from secateur.methods.stage_store import StageStore, fingerprint
from secateur.recovery.lora import RecoverySettings
from secateur.scoring.allocation import allocate, keep_best
from secateur.scoring.layers import LayerRanking
from secateur.structure.budget import Budget
from secateur.structure.counting import parameters
from secateur.structure.plan import PruningPlan
from secateur.structure.target import Target, predicted


@METHODS.register("one_shot")
class OneShot:
    """The cascade's units, criterion, search and recovery, without its stages.

    Layers are ordered by the loss of removing each alone, and every candidate depth is cut by the same
    scores of the dense model. The difference from the cascade is therefore the re-estimation alone.

    Parameters
    ----------
    settings : SearchSettings
    """

    name: ClassVar = "one_shot"
    keeps_weights: ClassVar = True

    def __init__(self, settings: SearchSettings | None = None) -> None:
        self.settings = settings or SearchSettings()

    def compress(
        self,
        model: nn.Module,
        task: Task,
        budget: Budget | None,
        recovery: RecoverySettings | None,
        out: Path | None = None,
    ) -> Compression:
        """See :class:`secateur.methods.base.Method`; with a hand allocation the budget may be None."""
        started = time.perf_counter()
        bench = Workbench(self.name, model, task, self.settings, recovery)
        target = bench.target(budget)
        state = bench.start()
        if self.settings.hand is None and target.met_by(bench.identity):
            return Compression(method=self.name, model=state.model, plan=state.plan, records=())
        labels = (task.train.labels, task.validation.labels)
        print_of_run = fingerprint(
            model, labels, settings=self.settings, recovery=recovery, seed=task.seed, **target.fingerprint()
        )
        store = StageStore(out, print_of_run)
        finished = store.read(1, self.name)
        if finished is None:
            plan, choice = plan_once(bench, target)
            finished = bench.cut_and_recover(
                state,
                plan,
                stage=self.name,
                number=1,
                steps=bench.total_steps,
                target_parameters=parameters(plan),
                decisions=to_jsonable(
                    {
                        "depth": choice.layers,
                        "ranking": choice.ranking,
                        "probes": choice.probes,
                        **({"predicted": predicted(target.limits, plan)} if target.limits else {}),
                    }
                ),
                started=started,
                out=store.recovery_place(1, self.name),
            )
            store.write(*finished)
        state, record = finished
        return Compression(method=self.name, model=state.model, plan=state.plan, records=(record,))


def plan_once(bench: Workbench, target: Target) -> tuple[PruningPlan, DepthChoice]:
    """Return the full plan that scores of the dense model alone give, and how its depth was chosen."""
    identity, search = bench.identity, bench.search
    scores = bench.score(bench.dense)
    single = bench.rank_layers(bench.dense, 0)
    order = tuple(int(layer) for layer in np.argsort(single.single_increases, kind="stable"))
    ranking = LayerRanking(order=order, losses=single.losses, single_increases=single.single_increases)
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
    choice = choose_depth(ranking, starts, full_plan, bench.probe_losses, tolerance=search.depth_tolerance)
    return full_plan(identity.without_layers(order[: len(order) - choice.layers])), choice
