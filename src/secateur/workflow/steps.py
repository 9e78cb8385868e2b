"""The steps of a run, each of which can stand alone: train, prune."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from secateur.core.errors import CheckpointError, ConfigError
from secateur.core.files import remove_folder, require_replaceable
from secateur.core.progress import console
from secateur.core.provenance import provenance
from secateur.core.records import JsonLines, to_jsonable
from secateur.core.seeds import derive
from secateur.methods.base import Compression
from secateur.methods.targets import target_of
from secateur.methods.weights import WeightMethod
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.diagnoser import Diagnoser
from secateur.signals.selection import specimen_of
from secateur.structure.target import predicted
from secateur.tasks.windows import WindowTask
from secateur.training.augment import Augmentation
from secateur.training.fit import fit
from secateur.training.settings import FitSettings, LoopSettings, WindowLoopSettings
from secateur.workflow.backbone import dense_for
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.settings import TaskSettings
from secateur.workflow.target import budget_of, require_shape_by_hand
from secateur.workflow.task import Preparation, prepare_one


def partial_folder(folder: Path) -> Path:
    """Return where the resumable state of a step is kept until ``folder`` is whole."""
    return folder.with_name(f".{folder.name}.partial")


def train_dense(
    preparation: Preparation,
    *,
    backbone: str,
    task: TaskSettings,
    settings: FitSettings,
    folder: Path,
    overwrite: bool = False,
) -> Diagnoser:
    """Train the dense model and save it, or load it if ``folder`` already holds that very model.

    Where the specimens held back for validation are needed for training too, their verdict is kept as the
    number of steps, and a new model is trained for so many on all specimens.

    Parameters
    ----------
    preparation : Preparation
    backbone : str
        See :func:`secateur.workflow.backbone.build_dense`.
    task : TaskSettings
        Kept in the checkpoint, so that later steps know the data and the split.
    settings : FitSettings
    folder : Path
        Of the checkpoint.
    overwrite : bool, default False
        Whether a model trained with other settings is replaced once this one is trained.

    Raises
    ------
    ConfigError
        If ``folder`` holds something else, or a model trained with other settings and ``overwrite`` is not
        given.
    """
    partial = partial_folder(folder)
    origin = to_jsonable({"task": task, "backbone": backbone, "fit_settings": settings})
    if (folder / checkpoint.CHECKSUMS).exists():
        metadata = checkpoint.describe(folder).metadata
        differing = [key for key, value in origin.items() if metadata.get(key) != value]
        if not differing and metadata.get("data_sha256") == preparation.data_sha256:
            remove_folder(partial)
            return checkpoint.load(folder)
        if not overwrite:
            raise ConfigError(
                f"{folder} holds a model trained with other {', '.join(differing) or 'data'}; choose another "
                "folder, repeat its command, or add --overwrite."
            )
    require_replaceable(folder, checkpoint.CHECKSUMS)
    settings = replace(settings, seed=derive(task.seed, "fit"))
    model = dense_for(preparation, backbone, seed=task.seed)
    chosen_by = result = fit(model, preparation.train, preparation.validation, settings, partial)
    if preparation.everything is not None:
        console.print(f"last fit: {chosen_by.best_step} steps on all training specimens")
        model = dense_for(preparation, backbone, seed=task.seed)
        result = fit(
            model,
            preparation.everything,
            preparation.validation,
            _last_fit(settings, steps=chosen_by.best_step),
            partial / "last",
        )
    model.eval()
    checkpoint.save(model, folder, metadata=_metadata(preparation, **origin, fit=result, chosen_by=chosen_by))
    remove_folder(partial)
    return model


def _last_fit(settings: FitSettings, *, steps: int) -> FitSettings:
    """Stop where held-out specimens said so; the one look, at the end, chooses nothing."""
    return replace(settings, max_steps=steps, evaluate_every=steps)


def _metadata(preparation: Preparation, *, task: Any, **more: Any) -> dict[str, Any]:
    """What a checkpoint keeps about its origin, so that later steps know the task and the specimens."""
    split = preparation.split
    known = {specimen_of(segment.recording) for segment in (*split.train, *split.validation)}
    return to_jsonable(
        {
            "task": task,
            "protocol": split.protocol,
            "training_specimens": known,
            "data_sha256": preparation.data_sha256,
            "provenance": provenance(),
            **more,
        }
    )


def require_reachable(model: Diagnoser, cut: CutSettings) -> None:
    """Check a budget, or an allocation by hand, before anything is trained for it.

    Raises
    ------
    PlanError
        If it cannot be reached; the message names the largest ratio, the least latency or memory, or the
        counts, that can; or if the latency table is of other models.
    """
    budget, method = budget_of(cut, window_tokens=model.front_end.n_tokens), cut.chosen_method
    if isinstance(method, WeightMethod):
        method.require_reachable(model, budget)
    else:
        require_shape_by_hand(cut, bind(model).whole_plan)
        target_of(bind(model).whole_plan, budget, cut.search.hand)


def calibrated_task(preparation: Preparation, *, seed: int, settings: LoopSettings | None) -> WindowTask:
    """Return the task of a method, its calibration windows varied as those of its recovery are."""
    varied = settings.augmentation if isinstance(settings, WindowLoopSettings) else Augmentation()
    return WindowTask.from_windows(
        preparation.train,
        preparation.validation,
        everything=preparation.everything,
        seed=seed,
        augmentation=varied,
    )


def load_with_task(
    folder: Path, *, data: str | None = None, split: str | None = None
) -> tuple[Diagnoser, TaskSettings]:
    """Load a checkpoint and the settings of its task, without opening recordings.

    Raises
    ------
    CheckpointError
        If the checkpoint is damaged or does not name its task.
    """
    model = checkpoint.load(folder)
    metadata = checkpoint.describe(folder).metadata
    if "task" not in metadata:
        raise CheckpointError(
            f"{folder} does not say which task it was trained on; train it with 'secateur train'."
        )
    task = TaskSettings(**{**metadata["task"], "split": split or metadata["protocol"]})
    return model, task if data is None else replace(task, data=data)


def load_for_task(
    folder: Path, *, data: str | None = None, split: str | None = None
) -> tuple[Diagnoser, TaskSettings, Preparation]:
    """Load a checkpoint together with its task: the one it was trained on, or other data or split.

    Raises
    ------
    ConfigError
        If the classes of the split are not those of the model.
    CheckpointError
        If the checkpoint is damaged or does not name its task.
    """
    model, task = load_with_task(folder, data=data, split=split)
    preparation = prepare_one(task)
    if preparation.classes != tuple(model.config.classes):
        raise ConfigError(
            f"split '{task.split}' of {task.data} has the classes {', '.join(preparation.classes)}, but the "
            f"model knows {', '.join(model.config.classes)}; choose a split with the same classes."
        )
    if preparation.front_end.sampling_rate_hz != model.config.sampling_rate_hz:
        raise ConfigError(
            f"the recordings come at {preparation.front_end.sampling_rate_hz:g} Hz at most, but the model "
            f"takes {model.config.sampling_rate_hz:g} Hz; give recordings of at least that rate."
        )
    return model, task, preparation


def prune_and_save(
    dense: Diagnoser, preparation: Preparation, *, task: TaskSettings, cut: CutSettings, folder: Path
) -> Compression:
    """Compress the dense model and save it with its plan; finished stages are taken up after a kill.

    The stage records go to ``NAME.records.jsonl`` beside the folder.

    Raises
    ------
    ConfigError
        If ``folder`` holds something that is no checkpoint.
    """
    require_replaceable(folder, checkpoint.CHECKSUMS)
    partial = partial_folder(folder)
    budget = budget_of(cut, window_tokens=dense.front_end.n_tokens)
    compression = cut.chosen_method.compress(
        dense,
        calibrated_task(preparation, seed=task.seed, settings=cut.recovery),
        budget,
        cut.recovery,
        partial,
    )
    # the checkpoint last: once it is there, nothing of this step is done again
    write_records(compression.records, records_path(folder))
    checkpoint.save(
        compression.model,
        folder,
        plan=compression.plan,
        weights=compression.weights,
        metadata=_metadata(
            preparation,
            task=task,
            method=cut.method,
            ratio=cut.ratio,
            cost=compression.cost.to_json(),
            limits=predicted(() if budget is None else budget.limits, compression.plan),
            stopped_by_floor=compression.stopped_by_floor,
            reason=compression.reason,
        ),
    )
    remove_folder(partial)
    return compression


def records_path(folder: Path) -> Path:
    """Return the file of the stage records of a pruned checkpoint."""
    return folder.with_name(f"{folder.name}.records.jsonl")


def write_records(records: Iterable[Any], path: Path) -> None:
    """Write the stage records anew, one a line."""
    lines = JsonLines(path)
    lines.clear()
    for record in records:
        lines.append(record)
