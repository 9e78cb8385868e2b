"""Fitting a diagnoser to labelled windows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from secateur.core.seeds import derive
from secateur.training.batches import Batch, forward
from secateur.training.class_balance import class_weights
from secateur.training.loop import FitResult, Objective, run_loop
from secateur.training.settings import FitSettings
from secateur.training.strangers import Strangers, open_world_losses, stranger_pool
from secateur.training.unlabelled import can_simulate
from secateur.training.window_data import WindowData

if TYPE_CHECKING:
    from secateur.signals.windows import Windows


def fit(
    model: nn.Module,
    train: Windows,
    validation: Windows,
    settings: FitSettings,
    out: Path | None = None,
) -> FitResult:
    """Fit a model by cross-entropy, in place, and leave the weights that were best on validation.

    Parameters
    ----------
    model : nn.Module
        ``model(waveform, shaft_rate_hz, fault_orders) -> logits``.
    train, validation : Windows
        Labelled windows.
    settings : FitSettings
    out : Path, optional
        Folder of the resumable state; a run that finds one there goes on from it.

    Returns
    -------
    FitResult

    Raises
    ------
    DataError
        If a part is empty or training windows have no label.
    CheckpointError
        If the state in ``out`` is damaged or of another run.
    """
    data, loss = labelled(train, validation, settings)
    return run_loop(model, loss, data, settings, out=out, description="fitting")


def labelled(train: Windows, validation: Windows, settings: FitSettings) -> tuple[WindowData, Objective]:
    """Return what a model is fitted to, signals of no bearing among it, and by which loss.

    Where each class has one specimen alone there are none: to such a model every other machine is strange.
    """
    spec, count = train.spec, int(settings.stranger_share * settings.batch_size)
    strangers = None
    if count and _knows_others(train) and can_simulate(spec.length, spec.sampling_rate_hz):
        pool = stranger_pool(derive(settings.seed, "strangers"), spec.length, spec.sampling_rate_hz)
        strangers = Strangers(pool=pool, a_batch=count)
    return WindowData(train, validation, settings, strangers=strangers), label_loss(train, settings)


def _knows_others(train: Windows) -> bool:
    """Whether any class has two specimens or more."""
    specimens = set(zip(train.labels.tolist(), train.group_ids, strict=True))
    return len(specimens) > len(set(train.labels.tolist()))


def label_loss(train: Windows, settings: FitSettings) -> Objective:
    """Return the cross-entropy with the balance and the smoothing of the settings."""

    def cross_entropy(model: nn.Module, batch: Batch) -> Tensor:
        logits = forward(model, batch)
        weight = None
        if settings.balance == "loss":
            weights = class_weights(train.labels, logits.shape[1], train.healthy_label)
            weight = torch.as_tensor(weights).to(logits.device)
        # the mean weight is 1 over all windows, not over those of a batch or of a process's part of it
        losses = open_world_losses(
            logits, batch["label"], weight=weight, label_smoothing=settings.label_smoothing
        )
        return losses.mean()

    return cross_entropy
