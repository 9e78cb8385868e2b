"""What a compression method is given and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from secateur.core.registry import Registry
from secateur.core.seeds import derive
from secateur.methods.records import StageRecord
from secateur.recovery.lora import RecoverySettings
from secateur.scoring.calibration import Batch, draw_batches
from secateur.signals.windows import Windows
from secateur.structure.budget import Budget
from secateur.structure.plan import PruningPlan
from secateur.training.augment import Augmentation, augment


@dataclass(frozen=True, kw_only=True)
class Task:
    """The diagnosis for which a model is compressed.

    Parameters
    ----------
    train, validation : Windows
        Labelled windows; validation is held out from training groups, never from test groups.
    calibration : tuple of dict
        Batches of training windows on which units are scored and projections re-fitted.
    probe : tuple of dict
        Batches of validation windows on which candidate depths are compared.
    seed : int
        The run's seed.
    """

    train: Windows
    validation: Windows
    calibration: tuple[Batch, ...]
    probe: tuple[Batch, ...]
    seed: int

    @classmethod
    def from_windows(
        cls,
        train: Windows,
        validation: Windows,
        *,
        seed: int,
        augmentation: Augmentation,
        calibration_samples: int = 256,
        probe_samples: int = 256,
        batch_size: int = 32,
    ) -> Task:
        """Draw calibration and probe windows, stratified by class.

        Both are varied as training windows are (noise above all): on clean windows a converged model has
        no loss left, hence no gradient to score by.
        """

        def drawn(windows: Windows, n: int, name: str) -> tuple[Batch, ...]:
            batches = draw_batches(windows, n, batch_size=batch_size, seed=derive(seed, name))
            return tuple(
                augment(dict(batch), augmentation, derive(seed, name, number))
                for number, batch in enumerate(batches)
            )

        return cls(
            train=train,
            validation=validation,
            calibration=drawn(train, calibration_samples, "calibration"),
            probe=drawn(validation, probe_samples, "probe"),
            seed=seed,
        )


@dataclass(frozen=True, kw_only=True)
class Compression:
    """A compressed model and how it came about.

    Parameters
    ----------
    method : str
        Name of the method.
    model : nn.Module
        The small model, in evaluation mode.
    plan : PruningPlan
        What it keeps, in indices of the dense model.
    records : tuple of StageRecord
        One for each stage; empty if nothing had to be removed.
    stopped_by_floor : bool
        Whether the accuracy floor made it go back to an earlier stage, so that the budget is not met.
    reason : str or None
        Why it stopped early.
    """

    method: str
    model: nn.Module
    plan: PruningPlan
    records: tuple[StageRecord, ...]
    stopped_by_floor: bool = False
    reason: str | None = None

    @property
    def samples_seen(self) -> int:
        """Training windows drawn in all stages, with repetition."""
        return sum(record.samples_seen for record in self.records)


class Method(Protocol):
    """One way to compress.

    ``keeps_weights`` says whether the small model starts from the dense one's weights.
    """

    name: str
    keeps_weights: bool

    def compress(
        self,
        model: nn.Module,
        task: Task,
        budget: Budget,
        recovery: RecoverySettings | None,
        out: Path | None = None,
    ) -> Compression:
        """Compress ``model``, which is left as it is.

        Parameters
        ----------
        model : nn.Module
            The dense model.
        task : Task
            Data and seed.
        budget : Budget
            Parameters that may remain.
        recovery : RecoverySettings or None
            Gradient recovery; its ``max_steps`` is the total over all stages. None for none.
        out : Path, optional
            Folder in which finished stages are kept, so that a killed run goes on from the last one.

        Raises
        ------
        PlanError
            If the budget cannot be reached; the message names the largest ratio that can.
        """


METHODS: Registry[type[Method]] = Registry("method")
