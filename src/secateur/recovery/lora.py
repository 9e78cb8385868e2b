"""Gradient recovery of a cut diagnoser: LoRA or all weights, learning from labels and the dense model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.recovery.settings import RecoverySettings
from secateur.recovery.student import frozen_teacher, student
from secateur.training.batches import Batch, forward
from secateur.training.distillation import distillation_loss
from secateur.training.loop import FitResult, Objective, run_loop
from secateur.training.window_data import WindowData

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
    data = WindowData(train, validation, settings)
    objective = _objective(teacher, settings)
    with frozen_teacher(teacher, model), student(model, settings):
        return run_loop(model, objective, data, settings, out=out, description="recovering")


def _objective(teacher: nn.Module | None, settings: RecoverySettings) -> Objective:
    def labels_only(learner: nn.Module, batch: Batch) -> Tensor:
        return functional.cross_entropy(forward(learner, batch), batch["label"])

    if teacher is None or settings.distill_weight == 0:
        return labels_only

    def with_teacher(learner: nn.Module, batch: Batch) -> Tensor:
        with torch.no_grad():
            taught = forward(teacher.to(batch["waveform"].device), batch)
        return distillation_loss(
            forward(learner, batch),
            taught,
            batch["label"],
            weight=settings.distill_weight,
            temperature=settings.temperature,
        )

    return with_teacher
