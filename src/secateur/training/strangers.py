"""Signals of no bearing beside labelled windows: a diagnoser should like no class better for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from secateur.core.seeds import generator
from secateur.signals.simulator.machine_windows import UNKNOWN
from secateur.signals.simulator.sensors import through_sensor
from secateur.signals.simulator.strangers import stranger_waveforms
from secateur.signals.windows import normalise
from secateur.training.batches import Batch

POOL = 512


@dataclass(frozen=True, kw_only=True)
class Strangers:
    """Signals of no bearing for a gradient loop over labelled windows.

    Parameters
    ----------
    pool : Tensor, shape (n, length)
        What is drawn from.
    a_batch : int
        How many stand beside the windows of each batch.
    """

    pool: Tensor
    a_batch: int

    def added_to(self, batch: Batch, seed: int, step: int) -> Batch:
        """Return a batch followed by strangers, which depend on the seed and the step alone.

        They have speed and bearing of windows of the batch, so that these do not give them away.
        """
        rng = generator(seed, "strangers", step)
        rows = torch.as_tensor(rng.integers(len(self.pool), size=self.a_batch))
        told = torch.as_tensor(rng.integers(len(batch["label"]), size=self.a_batch))
        strange = {name: values[told] for name, values in batch.items()}
        strange |= {"waveform": self.pool[rows], "label": torch.full_like(told, UNKNOWN)}
        return {name: torch.cat([values, strange[name]]) for name, values in batch.items()}


@lru_cache(maxsize=4)
def stranger_pool(seed: int, length: int, sampling_rate_hz: float) -> Tensor:
    """Return windows of no bearing as a sensor gives them, float32 (512, length) of unit RMS."""
    rng = generator(seed, "stranger pool")
    waveforms = stranger_waveforms(rng, POOL, length, sampling_rate_hz)
    return torch.as_tensor(normalise(through_sensor(rng, waveforms, sampling_rate_hz)))


def open_world_losses(
    logits: Tensor, label: Tensor, *, weight: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of each window, (n,); windows of no bearing should look like every class alike.

    Their target is the uniform distribution (outlier exposure: Hendrycks, Mazeika, Dietterich, ICLR 2019),
    so that low confidence means "cannot say".

    Parameters
    ----------
    logits : Tensor, shape (n, classes)
    label : Tensor of int, shape (n,)
        -1 for no bearing.
    weight : Tensor, shape (classes,), optional
    label_smoothing : float
        Both are for windows of bearings.
    """
    known = functional.cross_entropy(
        logits, label.clamp(min=0), weight=weight, label_smoothing=label_smoothing, reduction="none"
    )
    return torch.where(label == UNKNOWN, -functional.log_softmax(logits, dim=-1).mean(dim=-1), known)
