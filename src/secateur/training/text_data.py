"""Blocks of tokens as what a gradient loop trains on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from secateur.core.errors import DataError
from secateur.models.precision import autocast
from secateur.training.batches import Batch
from secateur.training.class_balance import BatchSampler
from secateur.training.next_token import logits_of, rows_at_once, token_nats
from secateur.training.processes import Processes
from secateur.training.settings import LoopSettings

LOGIT_BYTES = 128 << 20
"""Most memory that the float32 logits of one pass may take; training holds a few times as much."""


class TextData:
    """Training blocks, used up in a random order epoch by epoch, and all validation blocks.

    Parameters
    ----------
    train, validation : Tensor of int64, shape (blocks, tokens)
    settings : LoopSettings
    model : nn.Module
        Of which the size of the vocabulary is taken.

    Raises
    ------
    DataError
        If there are no blocks, or they hold less than two tokens or tokens that the model does not have.
    """

    monitor = "loss"

    def __init__(
        self, train: Tensor, validation: Tensor, settings: LoopSettings, *, model: nn.Module
    ) -> None:
        vocabulary = int(model.config.get_text_config().vocab_size)
        for name, blocks in (("training", train), ("validation", validation)):
            _require_blocks(name, blocks, vocabulary)
        self._train, self._validation = train, validation
        self._rows = rows_at_once(model, train.shape[1], logit_bytes=LOGIT_BYTES)
        self._validation_rows = rows_at_once(model, validation.shape[1], logit_bytes=LOGIT_BYTES)
        unlabelled = np.zeros(len(train), dtype=np.int64)
        self._sampler = BatchSampler(unlabelled, settings.batch_size, settings.seed, balanced=False)

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells these data from others."""
        return {"train_blocks": _digest(self._train), "validation_blocks": _digest(self._validation)}

    def batch(self, step: int) -> Batch:
        """Return the blocks of a step, which depend on the seed and the step alone."""
        return {"input_ids": self._train[torch.from_numpy(self._sampler.indices(step))]}

    def passes(self, batch: Batch) -> Iterator[tuple[Batch, float]]:
        """Yield as many blocks at a time as the memory for logits takes."""
        ids = batch["input_ids"]
        for part in ids.split(self._rows):
            yield {"input_ids": part}, len(part) / len(ids)

    @torch.no_grad()
    def figures(self, model: nn.Module, processes: Processes, precision: str) -> dict[str, float]:
        """Return ``loss``: mean negative log-likelihood of a validation token in nats, in evaluation mode."""
        model.eval()
        nats = {}
        for start in processes.own(range(0, len(self._validation), self._validation_rows)):
            ids = self._validation[start : start + self._validation_rows].to(processes.device)
            with autocast(processes.device, precision):
                logits = logits_of(model, ids)
            nats[start] = token_nats(logits, ids)
        collected = processes.collected(nats, n_rows=len(self._validation))
        return {"loss": float(collected.double().mean())}


def _require_blocks(name: str, blocks: Tensor, vocabulary: int) -> None:
    if blocks.ndim != 2 or blocks.dtype != torch.int64 or not len(blocks) or blocks.shape[1] < 2:
        raise DataError(
            f"the {name} blocks are {tuple(blocks.shape)} of {blocks.dtype}; give token numbers as int64 of "
            "shape (blocks, tokens), at least one block of two tokens."
        )
    low, high = int(blocks.min()), int(blocks.max())
    if low < 0 or high >= vocabulary:
        raise DataError(
            f"the {name} blocks hold tokens from {low} to {high}, but the model has {vocabulary}; "
            "encode the text with the tokenizer of the model."
        )


def _digest(blocks: Tensor) -> str:
    return hashlib.sha256(np.ascontiguousarray(blocks.cpu().numpy()).tobytes()).hexdigest()
