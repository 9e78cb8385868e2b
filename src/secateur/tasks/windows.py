"""Diagnosis of windows of vibration, as a task."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from torch import nn

from secateur.core.seeds import derive
from secateur.models.calls import Batch
from secateur.signals.windows import Windows
from secateur.tasks.base import Learning, taught_loss
from secateur.tasks.calibration import draw_batches
from secateur.tasks.classification import Classification
from secateur.tasks.objective import Objective
from secateur.training.augment import Augmentation, augment
from secateur.training.batches import as_tensors
from secateur.training.fit import labelled
from secateur.training.settings import FitSettings, LoopSettings, TaughtWindowSettings, WindowLoopSettings
from secateur.training.unlabelled import can_simulate, machine_pool, unlabelled_for
from secateur.training.window_data import WindowData

JUDGED_AT_ONCE = 64
PROBE_BLOCKS = 4
"""Of 64 simulated machines each, on which candidate depths are compared."""


@dataclass(frozen=True, kw_only=True)
class WindowTask:
    """The diagnosis for which a model is compressed; see :class:`secateur.tasks.base.Task`.

    Parameters
    ----------
    train, validation : Windows
        Labelled windows; validation is held out from training groups, never from test groups.
    everything : Windows or None
        Both together, where specimens are so few that the last fit needs all of them.
    calibration, labelled_probe : tuple of dict
        Batches of training and of validation windows.
    seed : int
    """

    name: ClassVar[str] = "windows"
    objective: ClassVar[Objective] = Classification(rounds=False)
    unit_of_samples: ClassVar = "windows"

    train: Windows
    validation: Windows
    everything: Windows | None = None
    calibration: tuple[Batch, ...] = ()
    labelled_probe: tuple[Batch, ...] = ()
    seed: int = 0

    @classmethod
    def from_windows(
        cls,
        train: Windows,
        validation: Windows,
        *,
        seed: int,
        augmentation: Augmentation,
        everything: Windows | None = None,
        calibration_samples: int = 256,
        probe_samples: int = 256,
        batch_size: int = 32,
    ) -> WindowTask:
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
            everything=everything,
            calibration=drawn(train, calibration_samples, "calibration"),
            labelled_probe=drawn(validation, probe_samples, "probe"),
            seed=seed,
        )

    @property
    def fitting(self) -> tuple[Batch, ...]:
        """The calibration batches: windows are few."""
        return self.calibration

    @property
    def probe(self) -> tuple[Batch, ...]:
        """Validation windows, and windows of simulated machines that no recording is of.

        The latter have no label: there the dense model's answers are what counts. A depth that keeps up on
        the recordings alone may be far from the dense model on the next machine.
        """
        spec = self.train.spec
        if not can_simulate(spec.length, spec.sampling_rate_hz):
            return self.labelled_probe
        seed = derive(self.seed, "probe machines")
        machines = machine_pool(seed, spec.length, spec.sampling_rate_hz, PROBE_BLOCKS)
        parts = {name: rows.split(JUDGED_AT_ONCE) for name, rows in machines.items()}
        unlabelled = [dict(zip(parts, rows, strict=True)) for rows in zip(*parts.values(), strict=True)]
        return (*self.labelled_probe, *unlabelled)

    def validation_batches(self) -> Iterator[Batch]:
        """See :class:`secateur.tasks.base.Task`; the windows are clean."""
        yield from map(as_tensors, self.validation.batches(JUDGED_AT_ONCE))

    def learning(self, model: nn.Module, settings: LoopSettings, teacher: nn.Module | None) -> Learning:
        """See :class:`secateur.tasks.base.Task`."""
        del model
        assert isinstance(settings, WindowLoopSettings), "settings of a loop over windows"
        if isinstance(settings, FitSettings):
            return labelled(self.train, self.validation, settings)
        assert isinstance(settings, TaughtWindowSettings), "a teacher takes part in all other loops"
        unlabelled = None
        count, spec = int(settings.unlabelled_share * settings.batch_size), self.train.spec
        is_taught = settings.distill_weight > 0 and count > 0
        if teacher is not None and is_taught and can_simulate(spec.length, spec.sampling_rate_hz):
            unlabelled = unlabelled_for(
                teacher,
                a_batch=count,
                seed=derive(self.seed, "unlabelled"),
                length=spec.length,
                sampling_rate_hz=spec.sampling_rate_hz,
            )
        data = WindowData(self.train, self.validation, settings, unlabelled=unlabelled, clean_too=True)
        return data, taught_loss(self.objective, settings, teacher)

    def scratch_settings(self, recovery: LoopSettings, *, extra_steps: int, seed: int) -> FitSettings:
        """See :class:`secateur.tasks.base.Task`."""
        assert isinstance(recovery, WindowLoopSettings), "settings of a loop over windows"
        steps = recovery.max_steps + extra_steps
        return FitSettings(
            max_steps=steps,
            batch_size=recovery.batch_size,
            learning_rate=FitSettings.learning_rate,
            balance=recovery.balance,
            precision=recovery.precision,
            evaluate_every=min(recovery.evaluate_every, steps),
            patience=recovery.patience,
            max_validation_windows=recovery.max_validation_windows,
            augmentation=recovery.augmentation,
            seed=seed,
        )

    def for_last_fit(self) -> Self:
        """See :class:`secateur.tasks.base.Task`."""
        return self if self.everything is None else replace(self, train=self.everything)

    def fingerprint(self) -> dict[str, Any]:
        """Return digests of the labels: of training, validation, and both where there is a last fit."""
        parts = (self.train, self.validation, self.everything)
        labels = [part.labels for part in parts if part is not None]
        return {
            "labels": [
                hashlib.sha256(np.asarray(part, dtype=np.int64).tobytes()).hexdigest() for part in labels
            ]
        }
