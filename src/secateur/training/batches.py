"""Batches of windows as tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

Batch = dict[str, Tensor]
"""Keys ``waveform`` (B, L), ``shaft_rate_hz`` (B,), ``fault_orders`` (B, 4) and ``label`` (B,)."""


def as_tensors(arrays: dict[str, np.ndarray]) -> Batch:
    """Turn stacked window arrays into tensors: float32, labels int64."""
    return {
        name: torch.as_tensor(values, dtype=torch.int64 if name == "label" else torch.float32)
        for name, values in arrays.items()
    }


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on a device."""
    return {name: values.to(device) for name, values in batch.items()}


def forward(model: nn.Module, batch: Batch) -> Tensor:
    """Return the logits of a batch in float32, shape (B, n_classes)."""
    return model(batch["waveform"], batch["shaft_rate_hz"], batch["fault_orders"]).float()
