"""Labelled windows as what a gradient loop trains on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from secateur.core.errors import DataError
from secateur.core.seeds import derive
from secateur.models.precision import autocast
from secateur.training.augment import augment
from secateur.training.batches import Batch, as_tensors, forward, to_device
from secateur.training.class_balance import BatchSampler
from secateur.training.metrics import confusion, log_softmax, macro_f1
from secateur.training.processes import Processes
from secateur.training.settings import WindowLoopSettings
from secateur.training.strangers import Strangers
from secateur.training.unlabelled import Unlabelled

if TYPE_CHECKING:
    from secateur.signals.windows import Windows

VALIDATION_BATCH = 64


class WindowData:
    """Augmented training windows, and validation windows with fixed draws, lest clean ones saturate.

    Parameters
    ----------
    train, validation : Windows
    settings : WindowLoopSettings
    unlabelled : Unlabelled, optional
        Windows without labels in the place of some labelled ones, with their teacher's answers.
    strangers : Strangers, optional
        Signals of no bearing beside the labelled windows, with the label -1.
    clean_too : bool
        Whether the validation windows are judged as they are, too: a model that is good already must not pay
        for noise with them.

    Raises
    ------
    DataError
        If there are no windows, or training windows without label.
    """

    def __init__(
        self,
        train: Windows,
        validation: Windows,
        settings: WindowLoopSettings,
        *,
        unlabelled: Unlabelled | None = None,
        strangers: Strangers | None = None,
        clean_too: bool = False,
    ) -> None:
        self._train, self._validation, self._settings = train, validation, settings
        self._unlabelled, self._strangers, self._clean_too = unlabelled, strangers, clean_too
        self._sampler = BatchSampler(
            train.labels,
            settings.batch_size - (0 if unlabelled is None else unlabelled.a_batch),
            settings.seed,
            balanced=settings.balance == "sampling",
            healthy=train.healthy_label,
        )
        if len(validation) == 0:
            raise DataError(
                "no validation windows; the split must hold some training groups back for validation."
            )
        count = min(len(validation), settings.max_validation_windows)
        self._chosen = np.unique(np.linspace(0, len(validation) - 1, count).round().astype(np.int64))

    @property
    def monitor(self) -> str:
        """Figure by which the best weights are chosen."""
        return self._settings.monitor

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells these data from others."""
        return {"train_labels": np.asarray(self._train.labels).tolist()}

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, which depends on the seed and the step alone."""
        settings = self._settings
        batch = as_tensors(self._train.take(self._sampler.indices(step)))
        if self._unlabelled is not None:
            batch = self._unlabelled.added_to(batch, settings.seed, step)
        if self._strangers is not None:
            batch = self._strangers.added_to(batch, settings.seed, step)
        return augment(batch, settings.augmentation, derive(settings.seed, "augment", step))

    def passes(self, batch: Batch) -> Iterator[tuple[Batch, float]]:
        """Yield the batch whole: windows are small."""
        yield batch, 1.0

    @torch.no_grad()
    def figures(self, model: nn.Module, processes: Processes, precision: str) -> dict[str, float]:
        """Return ``macro_f1`` and ``loss`` (mean cross-entropy) in evaluation mode.

        With unlabelled windows their divergence from the teacher's answers is added to the loss, and
        ``labelled_loss`` stands beside it. The processes share the batches and all return the same.
        """
        model.eval()
        kinds = (True, False) if self._clean_too else (True,)
        scores = np.concatenate([self._scores(model, processes, precision, varied=kind) for kind in kinds])
        truth = np.tile(np.asarray(self._validation.labels)[self._chosen], len(kinds))
        counts = confusion(truth, scores.argmax(axis=1), scores.shape[1])
        loss = float(-log_softmax(scores)[np.arange(len(scores)), truth].mean())
        if self._unlabelled is None:
            return {"macro_f1": macro_f1(counts), "loss": loss}
        divergence = float(self._unlabelled.divergence(model))
        return {"macro_f1": macro_f1(counts), "loss": loss + divergence, "labelled_loss": loss}

    def _scores(self, model: nn.Module, processes: Processes, precision: str, *, varied: bool) -> np.ndarray:
        """Return the logits of the validation windows, varied by fixed draws or as they are."""
        device, starts, logits = processes.device, range(0, len(self._chosen), VALIDATION_BATCH), {}
        for start in processes.own(starts):
            batch = as_tensors(self._validation.take(self._chosen[start : start + VALIDATION_BATCH]))
            if varied:
                seed = derive(self._settings.seed, "validation", start)
                batch = augment(batch, self._settings.augmentation, seed)
            with autocast(device, precision):
                logits[start] = forward(model, to_device(batch, device))
        return processes.collected(logits, n_rows=len(self._chosen)).cpu().numpy()
