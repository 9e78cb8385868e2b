"""A set function in the place of a model, and tiny models with calibration batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from secateur.structure.shape import ModelShape
from secateur.structure.units import Unit

SHAPE = ModelShape(
    n_layers=3,
    hidden=8,
    head_dim=2,
    heads_per_layer=(4, 4, 4),
    kv_groups_per_layer=(4, 4, 4),
    channels_per_layer=(6, 6, 6),
    other_parameters=0,
)


class SetFunction:
    """Stands for an evaluator: D is a given function of the units, the same sum for each sample and noise."""

    objectives = ("loss", "divergence")

    def __init__(self, cost: Callable[[tuple[Unit, ...]], np.ndarray], n_samples: int) -> None:
        self._cost, self.n_samples, self.n_evaluations = cost, n_samples, 0
        self.bound = SimpleNamespace(shape=SHAPE, layers=[SimpleNamespace(norms={})] * SHAPE.n_layers)

    def cost(self, units: Iterable[Unit]) -> np.ndarray:
        self.n_evaluations += 1
        return np.stack([self._cost(tuple(units))] * 2)


def token_batches(n_batches: int = 2, rows: int = 3, length: int = 7) -> list[dict[str, torch.Tensor]]:
    """Batches for models of the zoo."""
    draw = torch.Generator().manual_seed(0)
    return [{"input_ids": torch.randint(4, 61, (rows, length), generator=draw)} for _ in range(n_batches)]


@pytest.fixture
def make_token_batches() -> Callable[..., list[dict[str, torch.Tensor]]]:
    return token_batches


@pytest.fixture
def set_function() -> type[SetFunction]:
    return SetFunction
