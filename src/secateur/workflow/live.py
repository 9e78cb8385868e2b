"""Cutting and checking models that are in memory: what ``secateur.prune`` and ``secateur.sia`` do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack, get_type_hints

import torch
from torch import Tensor, nn

from secateur.core.errors import ConfigError, DataError, SecateurError
from secateur.core.typed import require_type, require_types
from secateur.methods.base import Compression, Method
from secateur.methods.registered import changes_weights
from secateur.methods.rounds import Rounds
from secateur.models.binding import bind
from secateur.models.calls import Batch
from secateur.models.checkpoint import save
from secateur.models.experts import has_stock_experts
from secateur.models.origin import remember_cut
from secateur.models.soundness import require_sound
from secateur.models.tables import Table
from secateur.scoring.registered import TEXT_CRITERION
from secateur.tasks.batches import checked_batches
from secateur.tasks.kinds import objective_of, require_fit
from secateur.tasks.reading import OBJECTIVES, task_of_model
from secateur.tasks.text_data import TextTaskName
from secateur.tasks.token_task import TokenTask
from secateur.workflow.cut_model import cut_blocks
from secateur.workflow.cut_options import cut_of_model
from secateur.workflow.option_types import CutOptionTypes, LiveOptionTypes, require_options
from secateur.workflow.sia import Check, Effort, check_model, text_samples
from secateur.workflow.source import Source
from secateur.workflow.target import budget_of

Calibration = str | Path | Sequence[str] | Sequence[Mapping[str, str | int | float]] | Sequence[Batch] | None
"""A file, texts, rows of a table, batches of tensors as the model takes them, or nothing."""

_OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)")
_OF_FOLDERS = {*get_type_hints(CutOptionTypes)} - {"calibration", "task", *get_type_hints(LiveOptionTypes)}
"""Options of the command that Python lacks."""


def prune_live(
    model: nn.Module,
    *,
    calibration: Calibration,
    tokenizer: Any,
    task: TextTaskName | None,
    **cut: Unpack[LiveOptionTypes],
) -> Compression:
    """See :func:`secateur.prune`."""
    with _told_by_parameters():
        require_options(cut, LiveOptionTypes)
        require_types({"task": task}, CutOptionTypes)
        model, given = _own(model, tokenizer), _given(calibration)
        if isinstance(given, tuple):
            return _remembered(model, _by_batches(model, task, cut, checked_batches(model, given)))
        settings = cut_of_model(
            calibration=given, task=task, recovery_control=False, **_with_criterion(given, cut)
        )
        source = _source(model, tokenizer)
        return _remembered(model, cut_blocks(source, settings, bind(model).whole_plan, None).compression)


def _remembered(dense: nn.Module, made: Compression) -> Compression:
    """Let the small model know its plan, so that it can be saved."""
    remember_cut(made.model, dense, made.plan, made.weights)
    return made


def save_live(model: nn.Module, folder: str | Path, *, tokenizer: Any) -> None:
    """See :func:`secateur.save`."""
    require_objects(model, tokenizer)
    require_type("folder", folder, str | Path)
    save(model, Path(folder), tokenizer=tokenizer)


def _own(model: nn.Module, tokenizer: Any) -> nn.Module:
    """Check what was given, and that it can be cut; experts are laid side by side in a copy."""
    require_objects(model, tokenizer)
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    model = deepcopy(model) if has_stock_experts(model) else model
    require_sound(model)
    return model


def require_objects(model: nn.Module, tokenizer: Any) -> None:
    """Check that a model, and a tokenizer if there is one, are in memory.

    Raises
    ------
    ConfigError
        If one is a name or a class.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"the model is {model!r:.80}; give a model in memory (from_pretrained of transformers and "
            "secateur.load open one), or cut a folder with 'secateur prune'."
        )
    if tokenizer is not None and not hasattr(tokenizer, "pad_token"):
        raise ConfigError(
            f"tokenizer is {tokenizer!r:.80}; give one of transformers (AutoTokenizer.from_pretrained)."
        )


def _source(model: nn.Module, tokenizer: Any) -> Source:
    return Source(
        name=type(model).__name__,
        model=model,
        tokenizer=tokenizer,
        where_tokenizer="give it as tokenizer=",
    )


@contextmanager
def _told_by_parameters() -> Iterator[None]:
    """Call options by their names in Python; those that Python lacks are named with the command's.

    A cut takes gradients, also where the program has turned them off by inference mode.
    """
    try:
        with torch.inference_mode(mode=False):
            yield
    except SecateurError as error:
        error.args = tuple(_OPTION.sub(_told, str(part)) for part in error.args)
        raise


def _told(option: re.Match[str]) -> str:
    name = option[1].replace("-", "_")
    return f"of a folder, by secateur prune {option[0]}" if name in _OF_FOLDERS else name


def _with_criterion(given: Path | Table | None, cut: LiveOptionTypes) -> LiveOptionTypes:
    """Without data, units are scored by their weights."""
    if given is not None or changes_weights(cut.get("method") or "rounds"):
        return cut
    return {**cut, "criterion": cut.get("criterion") or "magnitude"}


def _by_batches(
    model: nn.Module, name: TextTaskName | None, cut: LiveOptionTypes, batches: tuple[Batch, ...]
) -> Compression:
    """Score and re-fit on batches that are there, from which nothing can be held out."""
    if name is not None:
        require_fit(model, OBJECTIVES[name], name)
    criterion = cut.get("criterion") or TEXT_CRITERION
    # a criterion without data passes the check for a file, of which batches take the place
    settings = cut_of_model(**_with_criterion(None, {**cut, "criterion": None}))
    method: Method = settings.chosen_method
    if isinstance(method, Rounds):
        search = replace(settings.search, criterion=criterion)
        method = Rounds(replace(method.settings, search=search))
    task = TokenTask(
        name=name or task_of_model(model),
        objective=objective_of(model),
        train=None,
        calibration=batches,
        fitting=batches,
        seed=settings.tokens.seed,
    )
    return method.compress(model, task, budget_of(settings, bind(model).whole_plan), None)


def sia_live(
    model: nn.Module,
    *,
    calibration: Calibration,
    tokenizer: Any,
    ratio: float | None,
    budget_s: float,
    seed: int,
) -> Check:
    """See :func:`secateur.sia`."""
    with _told_by_parameters():
        require_type("ratio", ratio, float | None)
        require_type("seed", seed, int)
        effort = Effort(budget_s=budget_s)
        model, given = _own(model, tokenizer), _given(calibration)
        if given is None:
            raise ConfigError("the check measures on samples; give calibration=FILE, texts or batches.")
        if not isinstance(given, tuple):
            given = text_samples(_source(model, tokenizer), given, seed=seed)
        return check_model(model, checked_batches(model, given), ratio=ratio, effort=effort, seed=seed)


def _given(calibration: Calibration) -> Path | Table | tuple[Batch, ...] | None:
    """Return the file, the texts or rows as a table, or the batches; a row or batch alone is one of them.

    Texts of blanks are left out: data sets of running text hold many.

    Raises
    ------
    ConfigError
        If it is something else, empty, or of several kinds.
    """
    if calibration is None:
        return None
    if isinstance(calibration, str | Path):
        return _existing(calibration)
    if isinstance(calibration, Mapping):
        calibration = (calibration,)
    found: tuple[Any, ...] = tuple(calibration) if isinstance(calibration, Iterable) else (calibration,)
    texts = [text for text in found if isinstance(text, str) and text.strip()]
    rows = [row for row in found if isinstance(row, Mapping)]
    if texts and all(isinstance(entry, str) for entry in found):
        return Table(name="calibration", rows=[{"text": text} for text in texts])
    if rows and len(rows) == len(found):
        tensors = [any(isinstance(value, Tensor) for value in row.values()) for row in rows]
        if all(tensors):
            return tuple(rows)
        if not any(tensors) and not any("input_ids" in row for row in rows):
            return Table(name="calibration", rows=rows)
    held = ", ".join(sorted({type(entry).__name__ for entry in found})) or "nothing"
    raise ConfigError(
        f"calibration holds {held}; give a file, texts, rows (dicts of text and label, or of prompt and "
        "answer), or batches (dicts of tensors, as the model takes them)."
    )


def _existing(calibration: str | Path) -> Path:
    """Return a file that is there; a text in its place is shown by its beginning."""
    try:
        if Path(calibration).is_file():
            return Path(calibration)
    except OSError:
        pass  # too long for the name of a file
    raise DataError(f"{str(calibration)[:200]!r} is not a file; give one, or texts as a list.")
