"""Adapters on every supported family: beside each projection, merged without a trace."""

from __future__ import annotations

import pytest
import torch
from peft.tuners.lora import LoraLayer

from secateur.models.binding import bind
from secateur.recovery.adapters import add_adapters, merge_adapters
from zoo import ZOO


@torch.no_grad()
def outputs(model, batch):
    found = model(**batch)
    return found.logits if "logits" in found else found.last_hidden_state


@pytest.mark.parametrize("specimen", ZOO, ids=lambda specimen: specimen.name)
def test_merged_equals_unmerged(specimen):
    model, batch = specimen.build(), specimen.batch()
    projections = {id(p.module) for layer in bind(model).layers for p in layer.all_projections}
    dense, names = outputs(model, batch), list(model.state_dict())
    add_adapters(model, rank=3, alpha=6.0, seed=0)
    adapted = [module for module in model.modules() if isinstance(module, LoraLayer)]
    assert {id(module.get_base_layer()) for module in adapted} == projections
    assert len(adapted) == len(projections)
    torch.testing.assert_close(outputs(model, batch), dense, rtol=0, atol=1e-6)

    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1, generator=draw)
    unmerged = outputs(model, batch)
    assert (unmerged - dense).abs().max() > 1e-3
    merge_adapters(model)
    torch.testing.assert_close(outputs(model, batch), unmerged, rtol=1e-4, atol=1e-5)
    assert list(model.state_dict()) == names
