"""Every family takes every change of weights, and gives it back from a folder bit by bit."""

from __future__ import annotations

import pytest
import torch

import secateur
from secateur.methods.registered import METHODS
from secateur.models import checkpoint
from secateur.models.binding import bind
from zoo import ZOO

OF_WEIGHTS = sorted(name for name in METHODS.names() if METHODS.get(name).changes == "weights")
RATIO = 1.1


@pytest.mark.parametrize("name", OF_WEIGHTS)
@pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name)
def test_a_change_replaces_matrices_of_blocks_alone(specimen, name, tmp_path):
    dense = specimen.build()
    found = secateur.prune(dense, method=name, ratio=RATIO)
    assert found.cost.remaining <= found.cost.dense / RATIO
    bound = bind(found.model)
    paths = tuple(f"{bound.block_path(layer.index)}." for layer in bound.layers)
    weights = found.change.weights
    assert all(path.startswith(paths) for path in weights)
    parameters = dict(found.model.named_parameters())
    for path, form in weights.items():
        torch.testing.assert_close(parameters[path], form.decoded(), rtol=0, atol=0)
    for path, value in dense.named_parameters():
        if path in parameters and path not in weights:
            assert torch.equal(parameters[path], value), path
    if OF_WEIGHTS[ZOO.index(specimen) % len(OF_WEIGHTS)] == name:
        checkpoint.save(found.model, tmp_path / "small", weights=found.change)
        again = dict(checkpoint.load(tmp_path / "small").named_parameters())
        assert all(torch.equal(again[path], value) for path, value in parameters.items())
