"""What a task gives to methods: samples by role, what they are worth, and how a model learns from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from secateur.models.calls import Batch
from secateur.tasks.figures import Figures
from secateur.tasks.objective import Objective, Tally, tally_of
from secateur.training.loop import LoopData
from secateur.training.loop import Objective as Loss
from secateur.training.processes import agreed
from secateur.training.settings import LoopSettings, TaughtSettings

Learning = tuple[LoopData, Loss]
"""What a gradient loop trains on and judges by, and the loss that it brings down."""


class Task(Protocol):
    """What a model is for.

    Attributes
    ----------
    unit_of_samples : str
        What a sample is, in words ("windows").
    """

    unit_of_samples: ClassVar[str]

    @property
    def name(self) -> str:
        """Name of the task, as ``--task`` takes it."""

    @property
    def objective(self) -> Objective:
        """What a model's answers are worth."""

    @property
    def seed(self) -> int:
        """The run's seed."""

    @property
    def calibration(self) -> tuple[Batch, ...]:
        """Training batches by which units are scored."""

    @property
    def fitting(self) -> tuple[Batch, ...]:
        """Training batches on which projections are re-fitted."""

    @property
    def probe(self) -> tuple[Batch, ...]:
        """Batches that were held out from training, on which candidate depths are compared."""

    def validation_batches(self) -> Iterable[Batch]:
        """Yield the samples that are held out from training; nothing where none are."""

    def learning(self, model: nn.Module, settings: LoopSettings, teacher: nn.Module | None) -> Learning:
        """Return what a gradient loop needs; without a teacher the model learns from the data alone."""

    def scratch_settings(self, recovery: LoopSettings, *, extra_steps: int, seed: int) -> LoopSettings:
        """Return the settings that train a fresh model on as many samples as recovery and dense training."""

    def for_last_fit(self) -> Task:
        """Return the task that also trains on what was held out to choose by; itself if that stays out."""

    def fingerprint(self) -> dict[str, Any]:
        """Return JSON values that tell this task's data from others."""


def taught_loss(objective: Objective, settings: LoopSettings, teacher: nn.Module | None) -> Loss:
    """Return the loss of a batch, with the teacher's share as the settings tell it."""
    assert isinstance(settings, TaughtSettings), "settings of a loop that a teacher takes part in"
    weight, temperature = settings.distill_weight, settings.temperature

    def loss(learner: nn.Module, batch: Batch) -> Tensor:
        return objective.training_loss(learner, batch, teacher, weight=weight, temperature=temperature)

    return loss


class Yardstick:
    """Measures models on the validation samples, against the dense model's answers there.

    Parameters
    ----------
    task : Task
    dense : nn.Module
        The reference.
    """

    def __init__(self, task: Task, dense: nn.Module) -> None:
        self._task = task
        was_training = dense.training
        dense.eval()
        self._references = references(task.objective, dense, task.validation_batches())
        dense.train(was_training)

    def measure(self, model: nn.Module) -> Figures:
        """Return the figures of ``model``, the same in all processes that train together."""
        parameters = sum(parameter.numel() for parameter in model.parameters())
        if not self._references:
            return Figures(parameters=parameters)
        tally: Tally = tally_of(
            self._task.objective, model, self._task.validation_batches(), self._references
        )
        return agreed(self._task.objective.figures(tally, parameters=parameters))


def references(objective: Objective, model: nn.Module, batches: Iterable[Batch]) -> Sequence[Any]:
    """Return the references of a model that is in evaluation mode, batch by batch."""
    with torch.no_grad():
        return [objective.reference(model, batch) for batch in batches]
