"""Second moments summed over tokens, in half the memory of the symmetric matrix."""

from __future__ import annotations

import torch
from torch import Tensor

STRIPE = 256
"""Features whose products are taken at once."""


class GramSum:
    """Sum over tokens of ``x x^T`` in float32: stripes of rows, each as far as the diagonal."""

    def __init__(self) -> None:
        self._stripes: list[Tensor] = []

    def add(self, tokens: Tensor) -> None:
        """Add tokens (tokens, features); products are taken in float32, whatever the type of the tokens."""
        x = tokens.float()
        with torch.autocast(x.device.type, enabled=False):
            for number, begin in enumerate(range(0, x.shape[1], STRIPE)):
                end = min(begin + STRIPE, x.shape[1])
                product = (x[:, begin:end].T @ x[:, :end]).cpu()
                if number < len(self._stripes):
                    self._stripes[number] += product
                else:
                    self._stripes.append(product)

    def matrix(self) -> Tensor:
        """Return the whole matrix, float64 (features, features)."""
        features = self._stripes[-1].shape[1]
        whole = torch.zeros(features, features, dtype=torch.float64)
        for number, stripe in enumerate(self._stripes):
            begin, end = number * STRIPE, stripe.shape[1]
            whole[begin:end, :end] = stripe
            whole[:begin, begin:end] = stripe[:, :begin].T
        return whole
