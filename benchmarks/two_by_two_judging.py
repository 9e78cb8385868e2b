"""Judging many cuts of one model: the front end runs once a noise level, the cut backbones on its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from secateur.signals.windows import Windows
from secateur.training.batches import Batch, as_tensors
from secateur.training.evaluate import noisy
from secateur.training.metrics import accuracy, agreement, confusion, kl_divergence, macro_f1

ROWS = 64


@dataclass(frozen=True, kw_only=True)
class NoisyWindows:
    """The same labelled windows at several noise levels, as a front end takes them."""

    labels: np.ndarray
    levels: tuple[Batch, ...]

    @classmethod
    def of(cls, windows: Windows, levels: Sequence[float | None], *, most: int, seed: int) -> NoisyWindows:
        """Take evenly spaced windows; the noise of each depends on its number alone."""
        count = min(len(windows), most)
        chosen = np.unique(np.linspace(0, len(windows) - 1, count).round().astype(np.int64))
        arrays = windows.take(chosen)
        batches = []
        for snr_db in levels:
            disturbed = noisy(arrays["waveform"], chosen.tolist(), snr_db, seed)
            batches.append(as_tensors({**arrays, "waveform": disturbed}))
        return cls(labels=arrays["label"], levels=tuple(batches))


@torch.no_grad()
def tokens_of(model: nn.Module, batch: Batch) -> Tensor:
    """Run the front end over all windows of a batch."""
    names = ("waveform", "shaft_rate_hz", "fault_orders")
    parts = [model.front_end(*(batch[name][i : i + ROWS] for name in names)) for i in _starts(batch["label"])]
    return torch.cat(parts)


@torch.no_grad()
def logits_of_tokens(model: nn.Module, tokens: Tensor) -> Tensor:
    """Run backbone and head over tokens (windows, tokens, hidden)."""
    found = []
    for start in _starts(tokens):
        hidden = model.backbone(inputs_embeds=tokens[start : start + ROWS], use_cache=False).last_hidden_state
        found.append(model.head(hidden.mean(dim=1)).float())
    return torch.cat(found)


def _starts(rows: Tensor) -> range:
    return range(0, len(rows), ROWS)


class Judge:
    """Test windows at every noise level and calibration windows, seen through the dense model's front end.

    Parameters
    ----------
    dense : nn.Module
        In evaluation mode.
    test : NoisyWindows
    calibration : sequence of dict
        Varied training windows; nothing of the test side.
    """

    def __init__(self, dense: nn.Module, test: NoisyWindows, calibration: Sequence[Batch]) -> None:
        self.test = test
        self._tokens = [tokens_of(dense, level) for level in test.levels]
        self._dense_logits = [logits_of_tokens(dense, tokens).numpy() for tokens in self._tokens]
        self._calibration_tokens = torch.cat([tokens_of(dense, batch) for batch in calibration])
        self._calibration_labels = torch.cat([batch["label"] for batch in calibration])
        self._calibration_logits = logits_of_tokens(dense, self._calibration_tokens)

    def predictors(self, model: nn.Module) -> dict[str, float]:
        """Return what calibration windows say of a cut: added task loss, and KL from the dense model."""
        logits = logits_of_tokens(model, self._calibration_tokens)
        losses = [
            float(functional.cross_entropy(found, self._calibration_labels))
            for found in (logits, self._calibration_logits)
        ]
        kl = kl_divergence(self._calibration_logits.numpy(), logits.numpy())
        return {"calibration_loss_increase": losses[0] - losses[1], "calibration_kl": kl}

    def figures(self, model: nn.Module, *, own_front_end: bool = False) -> dict[str, Any]:
        """Return accuracy, macro-F1 and fidelity at every level; recovery may have changed the front end."""
        found: dict[str, list[float]] = {
            name: [] for name in ("accuracy", "macro_f1", "loss", "agreement", "kl")
        }
        for level, tokens, reference in zip(self.test.levels, self._tokens, self._dense_logits, strict=True):
            seen = tokens_of(model, level) if own_front_end else tokens
            logits = logits_of_tokens(model, seen)
            array = logits.numpy()
            counts = confusion(self.test.labels, array.argmax(axis=1), array.shape[1])
            found["accuracy"].append(accuracy(counts))
            found["macro_f1"].append(macro_f1(counts))
            found["loss"].append(float(functional.cross_entropy(logits, torch.from_numpy(self.test.labels))))
            found["agreement"].append(agreement(reference, array))
            found["kl"].append(kl_divergence(reference, array))
        return found


def parameters_of(model: nn.Module) -> int:
    """Return the parameters of the whole model."""
    return sum(parameter.numel() for parameter in model.parameters())
