"""The passes over the blocks: one that scores all of them where widths are shared out, one that cuts them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace

import torch

from secateur.blockwise.activations import OnDisk
from secateur.blockwise.block import advance
from secateur.blockwise.energies import Energies
from secateur.blockwise.refit import ProjectionRefit, Refit
from secateur.blockwise.walk import CUT, DENSE, pass_cut, pass_dense, rounding
from secateur.core.progress import progress
from secateur.core.records import to_jsonable
from secateur.models.binding import BoundLayer
from secateur.scoring.criteria.activation import layer_energies
from secateur.scoring.criteria.magnitude import layer_magnitudes
from secateur.scoring.criteria.random import drawn_scores
from secateur.scoring.scores import SCORED_KINDS
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.surgery.widths import keep_widths
from secateur.workflow.streaming.choice import LayerScores, chooser, layer_plan, save_scores
from secateur.workflow.streaming.folder import shard_name, write_block
from secateur.workflow.streaming.job import Job
from secateur.workflow.streaming.texts import SCORED


def score_all(job: Job) -> None:
    """Gather the scores of all layers on the dense model."""
    done, n_layers = job.done, job.dense.n_layers
    if done.scored == n_layers:
        return
    with progress("scoring, one layer at a time", n_layers) as bar:
        bar.advance(done.scored)
        for index in range(done.scored, n_layers):
            with job.model.block(index), _rounding(job, index):
                save_scores(done, index, _scores(job, index))
            done.scored = index + 1
            done.save()
            if job.scoring is not None:
                job.scoring.activations.drop(f"{SCORED}.{index}")
            bar.advance()


def cut_all(job: Job) -> PruningPlan:
    """Cut, re-fit and write one layer after the other; return what stays."""
    done, n_layers = job.done, job.dense.n_layers
    choose = chooser(job)
    for index, told in enumerate(done.layers):
        keep_widths(job.model.bound.layers[index], layer_plan(index, told))
    with progress("cutting, one layer at a time", n_layers) as bar:
        bar.advance(done.cut)
        for index in range(done.cut, n_layers):
            with job.model.block(index), _rounding(job, index):
                kept, records = _cut_one(job, index, choose)
                path = done.checkpoint / shard_name(index + 2, n_layers + 1)
                done.digests[path.name] = write_block(job.model, index, path)
            done.layers.append(to_jsonable(asdict(kept)))
            done.refits += to_jsonable(records)
            done.cut = index + 1
            done.save()
            for name in (DENSE, CUT, SCORED):
                OnDisk(done.streams).drop(f"{name}.{index}")
            bar.advance()
    layers = tuple(layer_plan(index, kept) for index, kept in enumerate(done.layers))
    return replace(job.identity, layers=layers)


def _rounding(job: Job, index: int) -> AbstractContextManager:
    return rounding(job.model.bound.layers[index], rounds=True)


def _cut_one(
    job: Job, index: int, choose: Callable[[int, LayerScores], LayerPlan]
) -> tuple[LayerPlan, list[ProjectionRefit]]:
    layer, samples = job.model.bound.layers[index], job.fitting
    if samples is None:
        kept = choose(index, _scores(job, index) if job.cut.uniform else {})
        keep_widths(layer, kept)
        return kept, []
    on_the_way = job.cut.uniform and job.by_activation and job.scoring is None
    scores = _scores(job, index) if job.cut.uniform and not on_the_way else {}
    energies = Energies(samples.masks)
    taught = pass_dense(layer, samples, (energies.see,) if on_the_way else ())
    kept = choose(index, _from(energies, layer) if on_the_way else scores)
    keep_widths(layer, kept)
    fitting = Refit(target=job.cut.search.refit_target, gram=getattr(torch, job.layout.gram))
    pass_cut(layer, samples, taught, fitting)
    return kept, fitting.records


def _scores(job: Job, index: int) -> LayerScores:
    """Score the units of a dense block, as the criterion would score them in memory."""
    if job.cut.criterion == "random":
        drawn = drawn_scores(job.dense, seed=job.cut.tokens.seed)
        return {kind: drawn.of(kind)[index] for kind in SCORED_KINDS}
    layer = job.model.bound.layers[index]
    if job.scoring is None:
        return {kind: layer_magnitudes(layer, kind) for kind in SCORED_KINDS}
    energies = Energies(job.scoring.masks)
    advance(layer, job.scoring, SCORED, (energies.see,))
    return _from(energies, layer)


def _from(energies: Energies, layer: BoundLayer) -> LayerScores:
    means = energies.mean_squares()
    return {kind: layer_energies(layer, kind, means) for kind in SCORED_KINDS}
