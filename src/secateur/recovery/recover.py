"""Gradient recovery of a cut model: LoRA or all weights, learning from data and the dense model."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from secateur.recovery.settings import StudentSettings
from secateur.recovery.student import frozen_teacher, student
from secateur.tasks.base import Task
from secateur.training.loop import FitResult, run_loop


def recover(
    model: nn.Module,
    teacher: nn.Module | None,
    task: Task,
    settings: StudentSettings,
    out: Path | None = None,
) -> FitResult:
    """Train a cut model, in place, towards the task's data and the teacher's answers.

    Recovery also adapts a model to the data. The control beside every recovered figure is the dense model
    with equal training: a copy of it as ``model``, with the same teacher (or none), task and settings.

    The weights before the first step count: steps that only harm on validation leave the model as it was.

    Afterwards the model has the module classes, the state-dict names and the trainable flags that it had
    before: low-rank updates are merged into the weights.

    Parameters
    ----------
    model : nn.Module
        The cut model.
    teacher : nn.Module or None
        The dense model, which sees the same batches; None learns from the data only.
    task : Task
    settings : StudentSettings
        With ``max_steps``, and ``max_minutes`` where time is the budget.
    out : Path, optional
        Folder of the resumable state. Going on needs the model as it was when the run began.

    Returns
    -------
    FitResult
        With the samples seen, the budget at which methods are compared.

    Raises
    ------
    ConfigError
        If the teacher is the model or does not fit it, or the model does not fit the task.
    DataError
        If the samples do not fit the model.
    SecateurError
        If the loss stops being finite.
    CheckpointError
        If the state in ``out`` is damaged or of another run.

    References
    ----------
    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015; Hu et al., "LoRA: Low-Rank
    Adaptation of Large Language Models", ICLR 2022.
    """
    with frozen_teacher(teacher, model):
        data, loss = task.learning(model, settings, teacher)
        with student(model, settings):
            return run_loop(model, loss, data, settings, out=out, description="recovering", start_counts=True)
