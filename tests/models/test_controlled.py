"""Backbones that differ in two factors: as Diagnosers they run, bind and come back from disk."""

from __future__ import annotations

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.controlled import ControlledSize, controlled_backbone
from secateur.models.diagnoser import Diagnoser, DiagnoserConfig
from secateur.models.front_end.settings import FrontEndSettings
from secateur.models.front_end.tokens import token_count

FRONT_END = FrontEndSettings(sampling_rate_hz=12000.0)
SIZE = ControlledSize(layers=2, hidden=32, heads=4, sharing=2, channels=64)


@pytest.mark.parametrize("attention", ["mha", "gqa"])
@pytest.mark.parametrize("ffn", ["gelu", "swiglu"])
def test_a_diagnoser_of_each_backbone_comes_back(attention, ffn, tmp_path):
    backbone = controlled_backbone(SIZE, attention=attention, ffn=ffn, tokens=token_count(FRONT_END))
    torch.manual_seed(0)
    model = Diagnoser(DiagnoserConfig(classes=("a", "b"), front_end=FRONT_END, backbone=backbone)).eval()
    # nothing but the front end, the blocks, the last norm and the head: no embedding of words
    inside = sum(p.numel() for p in model.front_end.parameters()) + 2 * 33 + 2 * 32
    assert bind(model).shape.other_parameters == inside
    checkpoint.save(model, tmp_path / "saved")
    again = checkpoint.load(tmp_path / "saved").eval()
    inputs = torch.randn(2, FRONT_END.window_length), torch.full((2,), 29.0), torch.rand(2, 4) + 1
    with torch.no_grad():
        assert torch.equal(again(*inputs), model(*inputs))


@pytest.mark.parametrize(
    "changes", [{"hidden": 30}, {"heads": 6, "hidden": 36, "sharing": 4}, {"hidden": 12}]
)
def test_heads_that_do_not_divide_are_refused(changes):
    size = {"layers": 1, "hidden": 32, "heads": 4, "sharing": 2, "channels": 8, **changes}
    with pytest.raises(ConfigError, match="heads must divide"):
        ControlledSize(**size)
