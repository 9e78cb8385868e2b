from __future__ import annotations

import copy

import pytest
import torch
from peft.tuners.lora import LoraLayer

from secateur.models.binding import bind
from secateur.recovery.adapters import add_adapters, merge_adapters, projection_names
from secateur.training.batches import forward


@pytest.fixture
def adapted(diagnoser):
    model = copy.deepcopy(diagnoser)
    add_adapters(model, rank=4, alpha=8.0, seed=0)
    return model


def test_every_projection_gets_one_and_nothing_changes_at_first(diagnoser, adapted, batches):
    layers = [name for name, module in adapted.named_modules() if isinstance(module, LoraLayer)]
    expected = projection_names(diagnoser)
    assert layers == expected
    assert len(expected) == sum(len(layer.all_projections) for layer in bind(diagnoser).layers)
    with torch.no_grad():
        assert torch.equal(forward(adapted, batches[0]), forward(diagnoser, batches[0]))
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)


def test_merged_equals_unmerged_and_no_trace_is_left(diagnoser, adapted, batches):
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05, generator=torch.Generator().manual_seed(1))
        unmerged = forward(adapted, batches[0])
        assert (unmerged - forward(diagnoser, batches[0])).abs().max() > 1e-3
        merge_adapters(adapted)
        assert torch.allclose(forward(adapted, batches[0]), unmerged, atol=1e-5)
    assert list(adapted.state_dict()) == list(diagnoser.state_dict())
    assert [type(m) for m in adapted.modules()] == [type(m) for m in diagnoser.modules()]
    assert vars(adapted).keys() == vars(diagnoser).keys()
    bind(adapted)


def test_the_seed_decides_the_updates(diagnoser, adapted):
    again, other = copy.deepcopy(diagnoser), copy.deepcopy(diagnoser)
    torch.manual_seed(9)
    add_adapters(again, rank=4, alpha=8.0, seed=0)
    add_adapters(other, rank=4, alpha=8.0, seed=1)
    name = next(name for name in adapted.state_dict() if "lora_A" in name)
    assert torch.equal(again.state_dict()[name], adapted.state_dict()[name])
    assert not torch.equal(other.state_dict()[name], adapted.state_dict()[name])
