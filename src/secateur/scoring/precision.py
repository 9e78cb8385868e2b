"""Arithmetic of scoring: bfloat16 for language models where the processor has it, as given elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from secateur.models.calls import Batch
from secateur.models.precision import autocast, resolve_precision


def scoring_autocast(batch: Batch, device: torch.device) -> AbstractContextManager:
    """Return the context in which a batch is scored.

    Language models are scored in bfloat16 where the processor multiplies it in hardware; each score is a sum
    of thousands of terms, so that rounding hardly moves it. Windows are scored as they are: their models are
    small.
    """
    if "waveform" in batch:
        return nullcontext()
    return autocast(device, resolve_precision("auto", device))
