"""Cutting and checking models that are in memory: what ``secateur.prune`` and ``secateur.sia`` do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn

from secateur.core.errors import ConfigError
from secateur.methods.base import Compression, Method
from secateur.methods.registered import changes_weights
from secateur.methods.rounds import Rounds
from secateur.models.binding import bind
from secateur.models.calls import Batch
from secateur.models.experts import has_stock_experts
from secateur.scoring.registered import TEXT_CRITERION
from secateur.tasks.kinds import objective_of
from secateur.tasks.reading import TextTaskName, task_of_model
from secateur.tasks.token_task import TokenTask
from secateur.workflow.cut_model import cut_blocks
from secateur.workflow.cut_options import cut_of_model
from secateur.workflow.sia import Check, Effort, check_model, text_samples
from secateur.workflow.source import Source
from secateur.workflow.target import budget_of

Calibration = str | Path | Sequence[str] | Sequence[Batch] | None
"""A file, texts, batches of tensors as the model takes them, or nothing."""


def prune_live(
    model: nn.Module,
    *,
    calibration: Calibration,
    tokenizer: Any,
    task: TextTaskName | None,
    **cut: Any,
) -> Compression:
    """See :func:`secateur.prune`."""
    model = _own(model)
    given = _given(calibration)
    if batches := _batches(given):
        return _by_batches(model, cut, batches)
    with _file(given) as path:
        source = Source(name=type(model).__name__, model=model, tokenizer=tokenizer, history={})
        settings = cut_of_model(
            calibration=path, task=task, recovery_control=False, **_with_criterion(path, cut)
        )
        return cut_blocks(source, settings, bind(model).whole_plan, None).compression


def _own(model: nn.Module) -> nn.Module:
    """The model given is left as it is: experts are laid side by side in a copy."""
    return deepcopy(model) if has_stock_experts(model) else model


def _with_criterion(path: Path | None, cut: dict[str, Any]) -> dict[str, Any]:
    """Without data, units are scored by their weights."""
    if path is not None or changes_weights(cut.get("method", "rounds")):
        return cut
    return {**cut, "criterion": cut.get("criterion") or "magnitude"}


def _by_batches(model: nn.Module, cut: dict[str, Any], batches: tuple[Batch, ...]) -> Compression:
    """Score and re-fit on batches that are there, from which nothing can be held out."""
    criterion = cut.get("criterion") or TEXT_CRITERION
    # a criterion without data passes the check for a file, of which batches take the place
    settings = cut_of_model(**_with_criterion(None, {**cut, "criterion": None}))
    method: Method = settings.chosen_method
    if isinstance(method, Rounds):
        search = replace(settings.search, criterion=criterion)
        method = Rounds(replace(method.settings, search=search))
    task = TokenTask(
        name=task_of_model(model),
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
    model = _own(model)
    given = _given(calibration)
    batches = _batches(given)
    if not batches:
        with _file(given) as path:
            if path is None:
                raise ConfigError("the check measures on samples; give calibration=FILE, texts or batches.")
            source = Source(name=type(model).__name__, model=model, tokenizer=tokenizer, history={})
            batches = text_samples(source, path, seed=seed)
    return check_model(model, batches, ratio=ratio, effort=Effort(budget_s=budget_s), seed=seed)


def _given(calibration: Calibration) -> Path | tuple[str | Batch, ...] | None:
    """Return the file, the texts or the batches that were given; a batch alone is one of them.

    Raises
    ------
    ConfigError
        If it is something else, empty, or of several kinds.
    """
    if calibration is None or isinstance(calibration, str | Path):
        return None if calibration is None else Path(calibration)
    if isinstance(calibration, Mapping):
        return (calibration,)
    found: tuple[Any, ...] = tuple(calibration) if isinstance(calibration, Iterable) else (calibration,)
    if found and any(all(isinstance(entry, kind) for entry in found) for kind in (str, Mapping)):
        return found
    held = ", ".join(sorted({type(entry).__name__ for entry in found})) or "nothing"
    raise ConfigError(
        f"calibration holds {held}; give a file, texts, or batches (dicts of tensors, as the model takes "
        "them)."
    )


def _batches(given: Path | tuple[str | Batch, ...] | None) -> tuple[Batch, ...]:
    return tuple(entry for entry in given if isinstance(entry, Mapping)) if isinstance(given, tuple) else ()


@contextmanager
def _file(given: Path | tuple[str | Batch, ...] | None) -> Iterator[Path | None]:
    """Give the file, or one that holds the texts for as long as they are read."""
    if not isinstance(given, tuple):
        yield given
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "texts.txt"
        path.write_text("\n\n".join(map(str, given)) + "\n", encoding="utf-8")
        yield path
