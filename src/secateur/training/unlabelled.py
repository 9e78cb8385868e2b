"""Windows of simulated machines without labels, on which a cut model learns what the dense one says."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.core.progress import track
from secateur.core.seeds import derive, generator
from secateur.signals.simulator.machine_windows import BLOCK, machine_windows
from secateur.training.batches import Batch, as_tensors, forward, to_device

UNLABELLED = -1
POOL_BLOCKS, HELD_BLOCKS = 4, 1
LEAST_LENGTH, LEAST_RATE_HZ = 1_024, 1_000.0
"""Shorter or slower windows hold nothing of a simulated machine."""


@dataclass(frozen=True, kw_only=True)
class Unlabelled:
    """Windows without labels for a gradient loop that has a teacher.

    Parameters
    ----------
    pool : dict of Tensor
        What is learnt from.
    a_batch : int
        Windows of the pool in each batch, in the place of labelled ones.
    held : dict of Tensor
        What the weights are chosen by, besides labelled validation windows.
    answers : Tensor, shape (n, classes)
        The teacher's logits for ``held``.
    """

    pool: Batch
    a_batch: int
    held: Batch
    answers: Tensor

    def added_to(self, batch: Batch, seed: int, step: int) -> Batch:
        """Return a batch followed by windows of the pool, which depend on the seed and the step alone."""
        rows = generator(seed, "unlabelled", step).integers(len(self.pool["label"]), size=self.a_batch)
        drawn = torch.as_tensor(rows)
        return {name: torch.cat([values, self.pool[name][drawn]]) for name, values in batch.items()}

    def divergence(self, model: nn.Module) -> float:
        """Return the mean KL divergence from the teacher's answers on the windows held back."""
        found = answers(model, self.held).log_softmax(-1)
        own = self.answers.log_softmax(-1)
        return float(functional.kl_div(found, own, reduction="batchmean", log_target=True))


@torch.no_grad()
def answers(model: nn.Module, windows: Batch) -> Tensor:
    """Return the logits of a model in evaluation mode, float32 (n, classes), on the processor."""
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    found = []
    for start in range(0, len(windows["waveform"]), BLOCK):
        part = {name: rows[start : start + BLOCK] for name, rows in windows.items()}
        found.append(forward(model, to_device(part, device)).cpu())
    model.train(was_training)
    return torch.cat(found)


def can_simulate(length: int, sampling_rate_hz: float) -> bool:
    """Whether windows of this length and rate can be simulated."""
    return length >= LEAST_LENGTH and sampling_rate_hz >= LEAST_RATE_HZ


@lru_cache(maxsize=4)
def machine_pool(seed: int, length: int, sampling_rate_hz: float, blocks: int) -> Batch:
    """Return windows of random machines and of no bearing, each of another one, with the label -1.

    Parameters
    ----------
    seed : int
    length : int
        Samples a window.
    sampling_rate_hz : float
    blocks : int
        Of 64 windows.
    """
    parts = [
        as_tensors(machine_windows(seed, block, length=length, sampling_rate_hz=sampling_rate_hz))
        for block in track(range(blocks), "simulating machines without labels", blocks)
    ]
    pool = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return {**pool, "label": torch.full((blocks * BLOCK,), UNLABELLED)}


def unlabelled_for(
    teacher: nn.Module, *, a_batch: int, seed: int, length: int, sampling_rate_hz: float
) -> Unlabelled:
    """Simulate windows and ask the teacher about those that are held back.

    Parameters
    ----------
    teacher : nn.Module
    a_batch : int
        Windows in each batch.
    seed : int
    length : int
        Samples a window.
    sampling_rate_hz : float
    """
    held = machine_pool(derive(seed, "held"), length, sampling_rate_hz, HELD_BLOCKS)
    return Unlabelled(
        pool=machine_pool(seed, length, sampling_rate_hz, POOL_BLOCKS),
        a_batch=a_batch,
        held=held,
        answers=answers(teacher, held),
    )
