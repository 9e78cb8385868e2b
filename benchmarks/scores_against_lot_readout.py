"""What a cut model answers: accuracy and loss as they come, and after its class offsets are put right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from two_by_two_judging import NoisyWindows, logits_of_tokens, tokens_of

from secateur.models.calls import Batch

RIDGE = 1e-2
STEPS = 50


class Readout:
    """Test windows at all noise levels and calibration windows, through the dense model's front end.

    Parameters
    ----------
    dense : nn.Module
    test : NoisyWindows
    calibration : sequence of dict
        Varied training windows.
    """

    def __init__(self, dense: nn.Module, test: NoisyWindows, calibration: Sequence[Batch]) -> None:
        self._labels = torch.from_numpy(test.labels)
        self._tokens = [tokens_of(dense, level) for level in test.levels]
        self._seen = torch.cat([tokens_of(dense, batch) for batch in calibration])
        self._seen_labels = torch.cat([batch["label"] for batch in calibration])

    def figures(self, model: nn.Module) -> dict[str, float]:
        """Return figures of a model; test figures are means over the noise levels.

        Returns
        -------
        dict
            ``accuracy``, ``loss`` (nats) on test windows; ``calibration_loss``; ``classes``: how many classes
            the answers are spread over, the exponential of the entropy of their frequencies;
            ``offset_accuracy`` and ``offset_loss`` after one offset a class and one temperature were fitted
            to calibration windows.
        """
        with torch.no_grad():
            seen = logits_of_tokens(model, self._seen)
            logits = [logits_of_tokens(model, tokens) for tokens in self._tokens]
        offset, temperature = fitted(seen, self._seen_labels)
        corrected = [found * temperature + offset for found in logits]
        return {
            "accuracy": self._mean(logits, _accuracy),
            "loss": self._mean(logits, functional.cross_entropy),
            "calibration_loss": float(functional.cross_entropy(seen, self._seen_labels)),
            "classes": self._mean(logits, _classes),
            "offset_accuracy": self._mean(corrected, _accuracy),
            "offset_loss": self._mean(corrected, functional.cross_entropy),
        }

    def _mean(self, logits: Sequence[Tensor], figure) -> float:
        return float(np.mean([float(figure(found, self._labels)) for found in logits]))


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(dim=1) == labels).float().mean()


def _classes(logits: Tensor, _labels: Tensor) -> Tensor:
    shares = torch.bincount(logits.argmax(dim=1), minlength=logits.shape[1]) / len(logits)
    return torch.special.entr(shares).sum().exp()


def fitted(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return an offset for each class and a factor with the smallest cross-entropy, with a small ridge."""
    offset = torch.zeros(logits.shape[1], requires_grad=True)
    logarithm = torch.zeros((), requires_grad=True)
    optimiser = torch.optim.LBFGS([offset, logarithm], max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = functional.cross_entropy(logits * logarithm.exp() + offset, labels)
        loss = loss + RIDGE * (offset.square().mean() + logarithm.square())
        loss.backward()
        return loss

    optimiser.step(closure)
    return offset.detach(), logarithm.exp().detach()
