"""Gradient recovery of a cut model: LoRA or all weights, learning from labels and the dense model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.core.errors import ConfigError
from secateur.core.seeds import derive
from secateur.recovery.adapters import (
    add_adapters,
    merge_adapters,
    projection_names,
    trainable_as_before,
)
from secateur.recovery.settings import RecoverySettings
from secateur.training.batches import Batch, forward
from secateur.training.distillation import distillation_loss
from secateur.training.loop import FitResult, Objective, run_loop

if TYPE_CHECKING:
    from secateur.signals.windows import Windows

__all__ = ["RecoverySettings", "recover"]


def recover(
    model: nn.Module,
    teacher: nn.Module | None,
    train: Windows,
    validation: Windows,
    settings: RecoverySettings,
    out: Path | None = None,
) -> FitResult:
    """Train a cut model, in place, towards the labels and the teacher's probabilities.

    Afterwards the model has the module classes, the state-dict names and the trainable flags that
    it had before: low-rank updates are merged into the weights.

    Parameters
    ----------
    model : nn.Module
        The cut model.
    teacher : nn.Module or None
        The dense model, which sees the same augmented batches; None learns from the labels only.
    train, validation : Windows
    settings : RecoverySettings
    out : Path, optional
        Folder of the resumable state. Going on needs the model as it was when the run began.

    Returns
    -------
    FitResult
        With the samples seen, the budget at which methods are compared.

    Raises
    ------
    ConfigError
        If the teacher and the model are one object.
    """
    with _frozen_teacher(teacher, model), trainable_as_before(model), _prepared(model, settings):
        return run_loop(
            model,
            _objective(teacher, settings),
            train,
            validation,
            settings,
            out=out,
            description="recovering",
        )


def _objective(teacher: nn.Module | None, settings: RecoverySettings) -> Objective:
    def labels_only(student: nn.Module, batch: Batch) -> Tensor:
        return functional.cross_entropy(forward(student, batch), batch["label"])

    if teacher is None or settings.distill_weight == 0:
        return labels_only

    def with_teacher(student: nn.Module, batch: Batch) -> Tensor:
        with torch.no_grad():
            taught = forward(teacher.to(batch["waveform"].device), batch)
        return distillation_loss(
            forward(student, batch),
            taught,
            batch["label"],
            weight=settings.distill_weight,
            temperature=settings.temperature,
        )

    return with_teacher


@contextmanager
def _prepared(model: nn.Module, settings: RecoverySettings) -> Iterator[None]:
    """Set what is trained; merge adapters at the end, whatever happens."""
    if settings.adapter == "full":
        model.requires_grad_(True)
        yield
        return
    projections = tuple(f"{name}." for name in projection_names(model))
    rest = [p for name, p in model.named_parameters() if not name.startswith(projections)]
    add_adapters(model, rank=settings.rank, alpha=settings.alpha, seed=derive(settings.seed, "lora"))
    for parameter in rest:
        parameter.requires_grad_(settings.train_rest)
    try:
        yield
    finally:
        merge_adapters(model)


@contextmanager
def _frozen_teacher(teacher: nn.Module | None, model: nn.Module) -> Iterator[None]:
    """Keep the teacher in evaluation mode; leave it as it was."""
    if teacher is None:
        yield
        return
    if teacher is model:
        raise ConfigError(
            "the teacher is the model that learns; give a copy of it (copy.deepcopy) as teacher."
        )
    was_training, device = teacher.training, next(teacher.parameters()).device
    teacher.eval()
    try:
        yield
    finally:
        teacher.train(was_training)
        teacher.to(device)
