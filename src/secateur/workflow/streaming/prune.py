"""``secateur prune --max-memory``: a checkpoint of any size is cut one block at a time.

Blocks are read from their shards one after the other; what the calibration text has become in front of a
block waits on disk, once for the dense and once for the cut model. The plan, the re-fit and the folder are
those of :func:`secateur.workflow.prune.prune_model`.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from secateur.blockwise.refit import ProjectionRefit, RefitReport
from secateur.core.errors import ConfigError
from secateur.core.files import require_replaceable, take_place
from secateur.core.memory import (
    give_back_freed_memory,
    peak_resident_bytes,
    resident_bytes,
    traffic_bytes,
)
from secateur.core.progress import console
from secateur.core.records import to_jsonable
from secateur.models import checkpoint, checkpoint_transformer
from secateur.structure.closure import LayerWidths
from secateur.structure.counting import parameters, shape_parameters
from secateur.structure.plan import PruningPlan
from secateur.tasks.reading import block_tokens, task_of_model
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.prune import facts, figures
from secateur.workflow.streaming.choice import equal_plan
from secateur.workflow.streaming.folder import finish, shard_name, write_outside
from secateur.workflow.streaming.job import Job
from secateur.workflow.streaming.memory import Layout, Work, choose_layout
from secateur.workflow.streaming.passes import cut_all, score_all
from secateur.workflow.streaming.progress import Progress, resume_or_start
from secateur.workflow.streaming.source import StreamedModel, open_streamed
from secateur.workflow.streaming.texts import texts
from secateur.workflow.target import target_parameters

CRITERIA = ("activation", "magnitude", "random")
"""Criteria that need no gradient, and so no more than one block at a time."""


def prune_streaming(
    source: Path,
    out: Path,
    cut: CutSettings,
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
    cut : CutSettings
        With the criterion ``activation``, ``magnitude`` or ``random``, and without a vocabulary. Where widths
        need not be equal, scores of all layers are gathered first, for which every block is read twice.
    max_memory_bytes : int
        Memory of the whole process.

    Returns
    -------
    dict
        As :func:`~secateur.workflow.prune.prune_model`, and under ``streaming`` the limit, the
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
    give_back_freed_memory()
    model = open_streamed(source)
    dense = model.bound.shape
    dense_figures = figures(model.model)
    identity = PruningPlan.identity(model.bound.spec.family, dense)
    target = target_parameters(cut, identity)
    traffic = traffic_bytes()
    done = resume_or_start(out.parent / f".{out.name}.streaming", _settings(model, cut))
    layout = _layout(model, cut, identity, target, max_memory_bytes, done)
    scoring, fitting = texts(model, cut, layout, done)
    job = Job(
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
        score_all(job)
    plan = cut_all(job)
    outside = done.checkpoint / shard_name(1, dense.n_layers + 1)
    if outside.name not in done.digests:
        done.digests[outside.name] = write_outside(model, outside)
        done.save()
    record = to_jsonable(
        {
            **facts(
                str(source),
                cut,
                dense=dense_figures,
                small=model.model,
                ratio=shape_parameters(identity.family, dense) / parameters(plan),
                seconds=done.elapsed(),
            ),
            "refit": _report(job),
            "calibration": None if cut.data is None else str(cut.data.path),
            "calibration_sha256": None if cut.data is None else cut.data.digest,
            "not_carried_over": model.ignored,
            "streaming": {
                "max_memory_bytes": max_memory_bytes,
                "estimated_bytes": layout.needed_bytes,
                "blocks_at_once": layout.blocks_at_once,
                "gram": layout.gram,
            },
        }
    )
    console.print("sealing, and reading back to compare")
    finish(
        model,
        done.checkpoint,
        plan=plan,
        metadata=record | ({"former": model.history} if model.history else {}),
        digests=done.digests,
    )
    _take_place(done, out)
    return _result(out, record, traffic)


def _check(source: Path, out: Path, cut: CutSettings) -> None:
    require_replaceable(out, checkpoint.CHECKSUMS)
    if out.exists() and source.exists() and out.resolve() == source.resolve():
        raise ConfigError(f"--out {out} is the model itself; choose another folder.")
    if cut.changes_weights:
        raise ConfigError(
            f"method '{cut.method}' takes the whole model into memory; leave --method or --max-memory out."
        )
    if cut.tokens.vocabulary is not None:
        raise ConfigError("--vocabulary does not go with --max-memory; cut the vocabulary of the result.")
    if cut.criterion not in CRITERIA:
        raise ConfigError(
            f"criterion '{cut.criterion}' takes gradients of the whole model at once; within a limit of "
            f"memory there are: {', '.join(CRITERIA)}."
        )
    if cut.rounds > 1 or cut.holds_out or cut.search.hand is not None:
        raise ConfigError(
            "shapes by hand, methods, floors, rounds and recovery look at the whole model at once; leave "
            "--method, floors, --rounds, --recovery-... and --layers, --heads and --channels out, or "
            "--max-memory."
        )


def _settings(model: StreamedModel, cut: CutSettings) -> dict[str, Any]:
    """All that the result depends on; of the weights, where each lies and when its file was last changed."""
    files = {stored.path for stored in model.tensors.values()}
    return {
        **asdict(cut),
        "source": str(model.folder.resolve()),
        "calibration_sha256": None if cut.data is None else cut.data.digest,
        "weights": {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(files)},
    }


def _layout(
    model: StreamedModel,
    cut: CutSettings,
    identity: PruningPlan,
    target: int,
    max_memory_bytes: int,
    done: Progress,
) -> Layout:
    shape = equal_plan(identity, target, cut).result if cut.uniform else identity.shape
    task = cut.tokens.task or task_of_model(model.model)
    work = Work(
        model=model,
        samples=0 if cut.data is None else cut.data.fitted_samples(task),
        length=block_tokens(model.model),
        widths=tuple(LayerWidths.of(shape, layer) for layer in range(shape.n_layers)),
        resident_bytes=resident_bytes(),
    )
    layout = choose_layout(work, max_memory_bytes)
    if done.layout is None:
        done.layout = asdict(layout)
        done.save()
    # an interrupted run goes on as it began, so that its result does not depend on the interruption
    return Layout(**done.layout)


def _report(job: Job) -> RefitReport | None:
    if job.fitting is None:
        return None
    return RefitReport.of(job.fitting.count, [ProjectionRefit(**record) for record in job.done.refits])


def _take_place(done: Progress, out: Path) -> None:
    """Give the finished folder its name; remove what was only needed on the way."""
    take_place(done.checkpoint, out)
    shutil.rmtree(done.folder)


def _result(out: Path, record: dict[str, Any], before: tuple[int, int] | None) -> dict[str, Any]:
    described = checkpoint_transformer.describe(out)
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
