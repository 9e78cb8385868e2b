"""Heads of every kind are saved and come back, also those that do not take the fixed inputs."""

from __future__ import annotations

import pytest
import torch
import transformers

from secateur.core.errors import CheckpointError
from secateur.core.progress import quiet
from secateur.models import checkpoint
from secateur.models.probes import takes_probe
from secateur.models.round_trip import require_same
from zoo import ZOO

HEADS = {
    "BertForMultipleChoice": ("bert", False),
    "BartForSequenceClassification": ("bart", False),
    "LlamaForSequenceClassification": ("llama", True),
    "GPT2DoubleHeadsModel": ("gpt2", True),
    "BertForPreTraining": ("bert", True),
    "ViTForMaskedImageModeling": ("vit", True),
}


def with_head(name):
    family, _ = HEADS[name]
    specimen = next(entry for entry in ZOO if entry.name == family)
    torch.manual_seed(0)
    return getattr(transformers, name)(getattr(transformers, specimen.config)(**specimen.settings)).eval()


@pytest.mark.parametrize("name", HEADS)
def test_heads_come_back(name, tmp_path):
    model = with_head(name)
    assert takes_probe(model) == HEADS[name][1]
    with quiet():
        checkpoint.save(model, tmp_path / "saved")
    loaded = checkpoint.load(tmp_path / "saved")
    assert type(loaded) is type(model)
    for key, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key


def test_a_changed_head_that_takes_no_probe_is_noticed(tmp_path):
    model, other = with_head("BertForMultipleChoice"), with_head("BertForMultipleChoice")
    require_same(model, other, tmp_path)
    with torch.no_grad():
        other.classifier.weight[0, 0] += 1e-3
    with pytest.raises(CheckpointError, match=r"classifier\.weight' does not come back"):
        require_same(model, other, tmp_path)
