"""A model of tokens made smaller by a method: its task read, its blocks cut, the result judged."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from torch import nn

from secateur.core.errors import ConfigError, DataError
from secateur.core.progress import console
from secateur.methods.base import Compression
from secateur.models.binding import bind
from secateur.models.calls import Batch
from secateur.recovery.recover import recover
from secateur.structure.plan import PruningPlan
from secateur.tasks.comparison import Comparison, Standing
from secateur.tasks.heads import require_text_model
from secateur.tasks.kinds import objective_of
from secateur.tasks.reading import read_task, task_of_model
from secateur.tasks.text_data import TextTaskName
from secateur.tasks.token_task import JUDGED_AT_ONCE, TokenTask
from secateur.workflow.cut_settings import CutSettings
from secateur.workflow.source import Source
from secateur.workflow.target import budget_of

DENSE, CONTROL = "dense", "dense, trained alike"


@dataclass(frozen=True, kw_only=True)
class CutModel:
    """A model whose blocks were cut.

    Attributes
    ----------
    compression : Compression
    record : dict
        What to write down: ``stages``, ``refit`` (of the last stage), ``calibration`` (the file) and
        ``calibration_sha256``; ``standings``
        of the models on samples that took no part, where any are held out.
    task : TokenTask
        What it was cut and judged on.
    """

    compression: Compression
    record: dict[str, Any]
    task: TokenTask


def task_of(source: Source, cut: CutSettings, **other: Any) -> TokenTask:
    """Read the task of a cut from its calibration file; without one, a task without samples.

    Parameters
    ----------
    source : Source
        Its model may be on the meta device.
    cut : CutSettings
    **other
        Numbers of :class:`secateur.tasks.text_data.TextData` in place of those of the cut.

    Raises
    ------
    SecateurError
        See :func:`secateur.tasks.reading.read_task`.
    """
    if (data := cut.data) is None:
        seed = cut.tokens.seed
        return TokenTask(name="no data", objective=objective_of(source.model), train=None, seed=seed)
    require_text_model(source.model)
    name = cut.tokens.task or task_of_model(source.model)
    return read_task(source.model, tokenizer_of(source, "--calibration"), name, replace(data, **other))


def cut_blocks(source: Source, cut: CutSettings, tokens_cut: PruningPlan, folder: Path | None) -> CutModel:
    """Cut the blocks by the chosen method, train them if asked, and judge the result.

    Recovery adapts a model to the data as well as it mends it. So, unless the cut says otherwise, a copy of
    the dense model takes as many steps under the same settings, and both are judged on the last part of the
    data, to which nothing was fitted.

    Parameters
    ----------
    source : Source
        Its model is left as it is.
    cut : CutSettings
    tokens_cut : PruningPlan
        The plan that removes nothing but tokens, which the target takes account of.
    folder : Path or None
        Where finished stages are kept, so that a stopped cut goes on.
    """
    budget = budget_of(cut, tokens_cut) if cut.cuts_blocks else None  # refused before the data are read
    task, data = task_of(source, cut), cut.data
    if data is not None:
        cut = cut.on(cast("TextTaskName", task.name))
    if cut.cuts_blocks:
        scored = "" if cut.criterion is None else f": scoring by {cut.criterion}"
        console.print(f"{cut.method}{scored}")
    fits = not cut.changes_weights and (cut.cuts_blocks or cut.recovery is not None)
    if task.name == "text" and data is not None and fits:
        other = f"and on {data.general_text or 'the general text that comes along'}"
        if not data.share:
            other = "alone: texts of other kinds lose more than texts like it"
        console.print(f"calibrated on {data.path} {other}")
    stages = None if folder is None or not cut.holds_out else folder / "stages"
    if cut.cuts_blocks:
        made = cut.chosen_method.compress(source.model, task, budget, cut.recovery, stages)
    else:
        made = _trained_whole(source.model, task, cut, stages)
    record: dict[str, Any] = {
        "task": task.name,
        "stages": made.records,
        "stopped_by_floor": made.stopped_by_floor,
        "reason": made.reason,
        "refit": (made.records[-1].refit or None) if made.records else None,
        "calibration": None if data is None else str(data.path),
        "calibration_sha256": None if data is None else data.digest,
    }
    if cut.holds_out:
        record["standings"] = _standings(source.model, task, made, cut, folder)
    return CutModel(compression=made, record=record, task=task)


def _trained_whole(model: nn.Module, task: TokenTask, cut: CutSettings, out: Path | None) -> Compression:
    """Return a copy of the dense model, trained if asked for, where the vocabulary alone is to be cut."""
    small, plan = deepcopy(model), bind(model).whole_plan
    if (recovery := cut.recovery) is not None:
        recover(small, model, task, recovery, out)
    return Compression.by_plan(method=cut.method, model=small.eval(), plan=plan, records=())


def _standings(
    dense: nn.Module, task: TokenTask, made: Compression, cut: CutSettings, folder: Path | None
) -> dict[str, Standing]:
    """Judge dense and cut model, and the control, on samples that took no part."""
    if task.test is None:
        raise DataError("no samples are held out for the test; give a longer text or more rows.")
    comparison = Comparison(task.objective, dense, tuple(task.test.batches(JUDGED_AT_ONCE)))
    other = None
    if task.elsewhere is not None:
        other = Comparison(task.objective, dense, tuple(task.elsewhere.batches(JUDGED_AT_ONCE)))

    def judged(model: nn.Module) -> Standing:
        there = None if other is None else other.standing(model).over_dense
        return replace(comparison.standing(model), elsewhere=there)

    found = {
        DENSE: Standing(figures=comparison.dense_figures(dense), over_dense=None),
        "cut": judged(made.model),
    }
    steps = sum(record.recovery_steps for record in made.records)
    if steps and cut.tokens.control and (recovery := cut.recovery) is not None:
        console.print(f"training the dense model alike, {steps} steps, for comparison")
        control = deepcopy(dense)
        alike = replace(recovery, max_steps=steps, max_minutes=None)
        recover(control, dense, task, alike, None if folder is None else folder / "control")
        found[CONTROL] = judged(control)
    return found


def tokenizer_of(source: Source, option: str) -> Any:
    """Return the tokenizer with which the text of an option is read.

    Raises
    ------
    ConfigError
        If the model came without one.
    """
    if source.tokenizer is None:
        raise ConfigError(
            f"{option} is a text, but {source.name} has no tokenizer to read it with; "
            f"{source.where_tokenizer}, or leave the text out (--criterion magnitude needs no data)."
        )
    return source.tokenizer


def calibration_batches(source: Source, cut: CutSettings, blocks: int, batch_size: int) -> tuple[Batch, ...]:
    """Return so many blocks of calibration data, with so many samples in a batch."""
    if cut.data is None:
        return ()
    return task_of(source, cut, blocks=blocks, refit_blocks=blocks, fitted_at_once=batch_size).fitting
