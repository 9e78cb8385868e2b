"""``secateur prune --max-memory``: a checkpoint of any size is cut one block at a time.

Blocks are read from their shards one after the other; what the calibration text has become in front of a
block waits on disk, once for the dense and once for the cut model. The plan, the re-fit and the folder are
those of :func:`secateur.workflow.transformer.prune_transformer`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from secateur.core.errors import ConfigError, DataError
from secateur.core.files import require_replaceable, sha256_of
from secateur.core.memory import peak_resident_bytes, resident_bytes, traffic_bytes
from secateur.core.progress import progress
from secateur.core.provenance import provenance
from secateur.core.records import to_jsonable
from secateur.models import checkpoint
from secateur.models.block_inputs import BlockInputs, inputs_of_run
from secateur.models.calls import TOKEN_INPUTS, Batch
from secateur.models.pretrained import is_causal_lm
from secateur.recovery.refit import HELD_OUT_EVERY, ProjectionRefit, RefitReport
from secateur.scoring.allocation import allocate
from secateur.scoring.criteria.magnitude import layer_magnitudes
from secateur.scoring.equal_widths import equal_widths
from secateur.scoring.scores import SCORED_KINDS, ScoredKind, Scores
from secateur.structure.closure import LayerWidths
from secateur.structure.counting import parameters, shape_parameters
from secateur.structure.plan import LayerPlan, PruningPlan
from secateur.structure.shape import ModelShape
from secateur.surgery.widths import keep_widths
from secateur.workflow.streaming.block_work import (
    CUT,
    DENSE,
    Energies,
    Text,
    Visit,
    advance,
    put_aside,
    refit_block,
)
from secateur.workflow.streaming.folder import finish, shard_name, write_block, write_outside
from secateur.workflow.streaming.memory import Layout, Work, choose_layout
from secateur.workflow.streaming.progress import Progress, resume_or_start
from secateur.workflow.streaming.source import StreamedModel, open_streamed
from secateur.workflow.streaming.spill import Spill
from secateur.workflow.transformer import figures
from secateur.workflow.transformer_blocks import SENTENCES_A_BLOCK, calibration_batches
from secateur.workflow.transformer_settings import (
    TransformerCut,
    block_tokens,
    kinds_to_cut,
    target_parameters,
)
from secateur.workflow.transformer_source import Source

CRITERIA = ("activation", "magnitude")
"""Criteria that need no gradient, and so no more than one block at a time."""

SCORED = "scored"
"""Stream of the dense model by which units are scored, where it is not the one that is re-fitted on."""

SCORED_AT_ONCE = 2


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Everything that the passes over the blocks share.

    ``scoring`` is None where units are scored by their weights, or by the text that is re-fitted on.
    """

    model: StreamedModel
    cut: TransformerCut
    done: Progress
    layout: Layout
    scoring: Text | None
    fitting: Text | None
    dense: ModelShape
    identity: PruningPlan
    target: int

    @property
    def by_activation(self) -> bool:
        return self.cut.criterion == "activation"


def prune_streaming(
    source: Path,
    out: Path,
    cut: TransformerCut,
    *,
    max_memory_bytes: int,
) -> dict[str, Any]:
    """Cut a checkpoint that does not fit in memory.

    Unfinished work lies beside ``out`` in a folder of its own (``.NAME.streaming``); the same call goes on
    with it at the layer it was in.

    Parameters
    ----------
    source : Path
        A ``transformers`` folder of safetensors.
    out : Path
        Folder for the checkpoint; new, empty, or a former checkpoint.
    cut : TransformerCut
        With the criterion ``activation`` or ``magnitude``, and without a vocabulary. Where widths need not be
        equal, scores of all layers are gathered first, for which every block is read twice.
    max_memory_bytes : int
        Memory of the whole process.

    Returns
    -------
    dict
        As :func:`~secateur.workflow.transformer.prune_transformer`, and under ``streaming`` the limit, the
        estimate and the peak of memory, and bytes read and written.

    Raises
    ------
    ConfigError
        If an option does not go with streaming, the memory is too little (the message tells how much is
        needed), or unfinished work was begun with other options.
    CheckpointError
        If shards are missing or damaged; all of them are named before any work.
    SecateurError
        From planning, cutting and saving.
    """
    source, out = Path(source), Path(out)
    _check(source, out, cut)
    model = open_streamed(source)
    dense = model.bound.shape
    dense_figures = figures(model.model)
    identity = PruningPlan.identity(model.bound.spec.family, dense)
    target = target_parameters(cut, identity)
    traffic = traffic_bytes()
    done = resume_or_start(out.parent / f".{out.name}.streaming", _settings(model, cut))
    layout = _layout(model, cut, identity, target, max_memory_bytes, done)
    scoring, fitting = _texts(model, cut, layout, done)
    job = _Job(
        model=model,
        cut=cut,
        done=done,
        layout=layout,
        scoring=scoring,
        fitting=fitting,
        dense=dense,
        identity=identity,
        target=target,
    )
    if not cut.uniform:
        _score_all(job)
    plan = _cut_all(job)
    outside = done.checkpoint / shard_name(1, dense.n_layers + 1)
    if outside.name not in done.digests:
        done.digests[outside.name] = write_outside(model, outside)
        done.save()
    record = to_jsonable(
        {
            "source": str(source),
            "family": identity.family,
            "model_class": type(model.model).__name__,
            "settings": asdict(cut),
            "dense": dense_figures,
            "pruned": figures(model.model),
            "ratio": shape_parameters(identity.family, dense) / parameters(plan),
            "refit": _report(job),
            "calibration_sha256": sha256_of(cut.calibration) if cut.calibration else None,
            "not_carried_over": model.ignored,
            "seconds": done.elapsed(),
            "provenance": provenance(seed=cut.seed),
            "streaming": {
                "max_memory_bytes": max_memory_bytes,
                "estimated_bytes": layout.needed_bytes,
                "blocks_at_once": layout.blocks_at_once,
                "gram": layout.gram,
            },
        }
    )
    finish(
        model,
        done.checkpoint,
        plan=plan,
        metadata=record | ({"former": model.history} if model.history else {}),
        digests=done.digests,
    )
    _take_place(done, out)
    return _result(out, record, traffic)


def _check(source: Path, out: Path, cut: TransformerCut) -> None:
    require_replaceable(out, checkpoint.CHECKSUMS)
    if out.exists() and source.exists() and out.resolve() == source.resolve():
        raise ConfigError(f"--out {out} is the model itself; choose another folder.")
    if cut.criterion not in CRITERIA:
        raise ConfigError(
            f"criterion '{cut.criterion}' looks at the whole model at once; within a limit of memory there "
            f"are: {', '.join(CRITERIA)}."
        )
    if cut.vocabulary is not None:
        raise ConfigError("--vocabulary does not go with --max-memory; cut the vocabulary of the result.")
    if cut.rounds > 1 or cut.recovers:
        raise ConfigError(
            "rounds and recovery look at the whole model at once; leave --rounds, --recovery-steps and "
            "--recovery-minutes out, or --max-memory."
        )
    if cut.calibration is not None and not cut.calibration.is_file():
        raise DataError(f"{cut.calibration} is not a file; give a text file in UTF-8.")
    if cut.rounds > 1 or cut.recovers:
        raise ConfigError("--rounds and recovery need the whole model; leave --max-memory out, or them.")


def _settings(model: StreamedModel, cut: TransformerCut) -> dict[str, Any]:
    """All that the result depends on; of the weights, where each lies and when its file was last changed."""
    files = {stored.path for stored in model.tensors.values()}
    return {
        **asdict(cut),
        "source": str(model.folder.resolve()),
        "calibration_sha256": sha256_of(cut.calibration) if cut.calibration else None,
        "weights": {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(files)},
    }


def _layout(
    model: StreamedModel,
    cut: TransformerCut,
    identity: PruningPlan,
    target: int,
    max_memory_bytes: int,
    done: Progress,
) -> Layout:
    shape = _equal_plan(identity, target, cut).result if cut.uniform else identity.shape
    work = Work(
        model=model,
        samples=(cut.refit_blocks if cut.calibration else 0)
        * (1 if is_causal_lm(model.model) else SENTENCES_A_BLOCK),
        length=block_tokens(model.model.config),
        widths=tuple(LayerWidths.of(shape, layer) for layer in range(shape.n_layers)),
        resident_bytes=resident_bytes(),
    )
    layout = choose_layout(work, max_memory_bytes)
    if done.layout is None:
        done.layout = asdict(layout)
        done.save()
    # an interrupted run goes on as it began, so that its result does not depend on the interruption
    return Layout(**done.layout)


def _texts(
    model: StreamedModel, cut: TransformerCut, layout: Layout, done: Progress
) -> tuple[Text | None, Text | None]:
    """Return the text to score on, where it takes a way of its own, and the text to re-fit on."""
    if cut.calibration is None:
        return None, None
    source = Source(
        name=str(model.folder), model=model.model, tokenizer=model.tokenizer, history=model.history
    )
    at_once = layout.blocks_at_once
    fitting = calibration_batches(source, cut, cut.refit_blocks, at_once)
    samples = sum(len(batch["input_ids"]) for batch in fitting)
    if samples < HELD_OUT_EVERY:
        raise ConfigError(
            f"{samples} calibration samples were given; a re-fit needs at least {HELD_OUT_EVERY}."
        )
    scoring = None
    if cut.criterion == "activation":
        scoring = calibration_batches(source, cut, cut.calibration_blocks, min(SCORED_AT_ONCE, at_once))
    if scoring is not None and cut.uniform and _same_blocks(scoring, fitting):
        scoring = None
    return (
        None if scoring is None else _embedded(model, scoring, done, (SCORED,)),
        _embedded(model, fitting, done, (DENSE, CUT)),
    )


def _same_blocks(first: Sequence[Batch], second: Sequence[Batch]) -> bool:
    """Whether two texts have the same tokens; those with padding depend on their batches and never do."""
    if any("attention_mask" in batch for batch in (*first, *second)):
        return False
    one, other = (torch.cat([batch["input_ids"] for batch in text]) for text in (first, second))
    return torch.equal(one, other)


@torch.no_grad()
def _embedded(
    model: StreamedModel, batches: Sequence[Batch], done: Progress, streams: tuple[str, ...]
) -> Text:
    """Send a text through what stands in front of the blocks."""
    spill = Spill(done.streams)
    inputs: list[BlockInputs] = []
    begun = done.scored or done.cut
    with model.front():
        for number, batch in enumerate(batches):
            given = {name: batch[name] for name in TOKEN_INPUTS if name in batch}
            found = inputs_of_run(model.bound, lambda given=given: model.bound.base(**given, use_cache=False))
            for name in () if begun else streams:
                spill.put(f"{name}.0", number, found.stream)
            found = replace(found, stream=torch.empty(0))
            inputs.append(found.sharing(inputs[-1]) if inputs else found)
    return Text(
        calls=tuple(entry.calls for entry in inputs),
        shapes=tuple((rows, length) for rows, length in (batch["input_ids"].shape for batch in batches)),
        spill=spill,
    )


def _score_all(job: _Job) -> None:
    """Gather the scores of all layers on the dense model."""
    done, n_layers = job.done, job.dense.n_layers
    if done.scored == n_layers:
        return
    with progress("scoring, one layer at a time", n_layers) as bar:
        bar.advance(done.scored)
        for index in range(done.scored, n_layers):
            with job.model.block(index):
                _save_scores(done, index, _scores(job, index))
            done.scored = index + 1
            done.save()
            if job.scoring is not None:
                job.scoring.spill.drop(f"{SCORED}.{index}")
            bar.advance()


def _cut_all(job: _Job) -> PruningPlan:
    """Cut, re-fit and write one layer after the other; return what stays."""
    done, n_layers = job.done, job.dense.n_layers
    choose = _chooser(job)
    for index, kept in enumerate(done.layers):
        keep_widths(job.model.bound.layers[index], _layer_plan(index, kept))
    with progress("cutting, one layer at a time", n_layers) as bar:
        bar.advance(done.cut)
        for index in range(done.cut, n_layers):
            with job.model.block(index):
                kept, records = _cut_one(job, index, choose)
                path = done.checkpoint / shard_name(index + 2, n_layers + 1)
                done.digests[path.name] = write_block(job.model, index, path)
            done.layers.append(to_jsonable(asdict(kept)))
            done.refits += to_jsonable(records)
            done.cut = index + 1
            done.save()
            for name in (DENSE, CUT, SCORED):
                Spill(done.streams).drop(f"{name}.{index}")
            bar.advance()
    layers = tuple(_layer_plan(index, kept) for index, kept in enumerate(done.layers))
    return replace(job.identity, layers=layers)


def _cut_one(
    job: _Job, index: int, choose: Callable[[int, dict[ScoredKind, np.ndarray]], LayerPlan]
) -> tuple[LayerPlan, list[ProjectionRefit]]:
    layer, text = job.model.bound.layers[index], job.fitting
    on_the_way = job.cut.uniform and job.by_activation and job.scoring is None
    scores = _scores(job, index) if job.cut.uniform and not on_the_way else {}
    energies = Energies()
    if text is not None:
        visits: list[Visit] = [put_aside(text), energies.see] if on_the_way else [put_aside(text)]
        advance(layer, text, DENSE, lambda *seen: [visit(*seen) for visit in visits])
    if on_the_way:
        scores = energies.scores(layer)
    kept = choose(index, scores)
    keep_widths(layer, kept)
    if text is None:
        return kept, []
    gram = getattr(torch, job.layout.gram)
    records = refit_block(layer, text, target=job.cut.refit_target, gram=gram)
    advance(layer, text, CUT)
    return kept, records


def _scores(job: _Job, index: int) -> dict[ScoredKind, np.ndarray]:
    """Score the units of a dense block."""
    layer = job.model.bound.layers[index]
    if job.scoring is None:
        return {kind: layer_magnitudes(layer, kind) for kind in SCORED_KINDS}
    energies = Energies()
    advance(layer, job.scoring, SCORED, energies.see)
    return energies.scores(layer)


def _chooser(job: _Job) -> Callable[[int, dict[ScoredKind, np.ndarray]], LayerPlan]:
    """Return what tells the units of a layer that stay, given the layer's scores."""
    if not job.cut.uniform:
        scores = _all_scores(job.done, job.dense.n_layers)
        kinds = kinds_to_cut(job.identity, job.target)
        plan = allocate(scores, job.identity, job.target, multiple=job.cut.multiple, kinds=kinds)
        return lambda index, _: plan.layers[index]
    widths = _equal_plan(job.identity, job.target, job.cut).layers[0]

    def best(index: int, scores: dict[ScoredKind, np.ndarray]) -> LayerPlan:
        kept = {
            kind: tuple(np.sort(np.argsort(-scores[kind], kind="stable")[:count]).tolist())
            for kind, count in (("group", len(widths.groups)), ("channel", len(widths.channels)))
        }
        return replace(job.identity.layers[index], groups=kept["group"], channels=kept["channel"])

    return best


def _equal_plan(identity: PruningPlan, target: int, cut: TransformerCut) -> PruningPlan:
    """Return a plan with the right widths; which units stay is told by scores that are not there yet."""
    shape = identity.shape
    nothing = Scores(
        groups=tuple(np.zeros(count) for count in shape.kv_groups_per_layer),
        channels=tuple(np.zeros(count) for count in shape.channels_per_layer),
        comparable=False,
    )
    return equal_widths(nothing, identity, target, multiple=cut.multiple)


def _save_scores(done: Progress, index: int, scores: dict[ScoredKind, np.ndarray]) -> None:
    path = done.scores(index)
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **scores)


def _all_scores(done: Progress, n_layers: int) -> Scores:
    loaded = [np.load(done.scores(index), allow_pickle=False) for index in range(n_layers)]
    return Scores.gathered(lambda kind, layer: loaded[layer][kind], n_layers, comparable=False)


def _layer_plan(index: int, kept: dict[str, Any]) -> LayerPlan:
    return LayerPlan(
        index=index,
        groups=tuple(kept["groups"]),
        channels=tuple(kept["channels"]),
        heads=tuple(map(tuple, kept["heads"])),
        cross_groups=tuple(kept["cross_groups"]),
    )


def _report(job: _Job) -> RefitReport | None:
    if job.fitting is None:
        return None
    records = tuple(ProjectionRefit(**record) for record in job.done.refits)
    return RefitReport(
        windows=job.fitting.samples,
        adopted=sum(record.adopted for record in records),
        projections=records,
    )


def _take_place(done: Progress, out: Path) -> None:
    """Give the finished folder its name; remove what was only needed on the way."""
    if out.exists():
        shutil.rmtree(out)
    done.checkpoint.rename(out)
    shutil.rmtree(done.folder)


def _result(out: Path, record: dict[str, Any], before: tuple[int, int] | None) -> dict[str, Any]:
    described = checkpoint.describe(out)
    after = traffic_bytes()
    read, written = (None, None) if before is None or after is None else np.subtract(after, before).tolist()
    used = {"peak_bytes": peak_resident_bytes(), "read_bytes": read, "written_bytes": written}
    weights = sum(path.stat().st_size for path in out.glob("*.safetensors"))
    return {
        "checkpoint": str(out),
        "form": described.form,
        "loads_with": list(described.loads_with),
        "not_plain_because": described.not_plain_because,
        **record,
        "pruned": record["pruned"] | {"bytes": weights},
        "streaming": record["streaming"] | used,
    }
