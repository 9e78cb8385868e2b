"""Which units of a layer stay, told layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from secateur.methods.rounds import kinds_to_cut
from secateur.scoring.allocation import allocate
from secateur.scoring.equal_widths import equal_widths
from secateur.scoring.scores import ScoredKind, Scores
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.streaming.job import Job
from secateur.workflow.streaming.progress import Progress

LayerScores = dict[ScoredKind, np.ndarray]


def chooser(job: Job) -> Callable[[int, LayerScores], LayerPlan]:
    """Return what tells the units of a layer that stay, given the layer's scores."""
    if not job.cut.uniform:
        scores = _all_scores(job.done, job.dense.n_layers)
        kinds = job.cut.units or kinds_to_cut(job.cut.search.criterion, job.identity, job.target)
        plan = allocate(scores, job.identity, job.target, multiple=job.cut.search.multiple, kinds=kinds)
        return lambda index, _: plan.layers[index]
    widths = equal_plan(job.identity, job.target, job.cut).layers[0]

    def best(index: int, scores: LayerScores) -> LayerPlan:
        widths_of: tuple[tuple[ScoredKind, int], ...] = (
            ("group", len(widths.groups)),
            ("channel", len(widths.channels)),
        )
        kept = {
            kind: tuple(np.sort(np.argsort(-scores[kind], kind="stable")[:count]).tolist())
            for kind, count in widths_of
        }
        return replace(job.identity.layers[index], groups=kept["group"], channels=kept["channel"])

    return best


def equal_plan(identity: PruningPlan, target: int, cut: CutSettings) -> PruningPlan:
    """Return a plan with the right widths; which units stay is told by scores that are not there yet."""
    shape = identity.shape
    nothing = Scores(
        groups=tuple(np.zeros(count) for count in shape.kv_groups_per_layer),
        channels=tuple(np.zeros(count) for count in shape.channels_per_layer),
        comparable=False,
    )
    return equal_widths(nothing, identity, target, multiple=cut.search.multiple)


def save_scores(done: Progress, index: int, scores: LayerScores) -> None:
    """Put the scores of a layer aside."""
    path = done.scores(index)
    path.parent.mkdir(exist_ok=True)
    arrays: dict[str, Any] = {str(kind): values for kind, values in scores.items()}
    np.savez(path, **arrays)


def _all_scores(done: Progress, n_layers: int) -> Scores:
    loaded = [np.load(done.scores(index), allow_pickle=False) for index in range(n_layers)]
    return Scores.gathered(lambda kind, layer: loaded[layer][kind], n_layers, comparable=False)


def layer_plan(index: int, kept: dict[str, Any]) -> LayerPlan:
    """Read what is kept of a layer back from its fields."""
    return LayerPlan(
        index=index,
        groups=tuple(kept["groups"]),
        channels=tuple(kept["channels"]),
        heads=tuple(map(tuple, kept["heads"])),
        cross_groups=tuple(kept["cross_groups"]),
    )
