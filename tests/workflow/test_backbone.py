"""What a run starts from: random weights, or a Diagnoser that knows something already."""

from __future__ import annotations

import pytest
import torch

from secateur.core.errors import ConfigError
from secateur.models.foundation import FOUNDATIONS, front_end_of, start_folder, start_from
from secateur.models.front_end.settings import foundation_front_end, front_end_for
from secateur.workflow.backbone import build_dense, learning_rate_for, windows_for

FOUNDATION = "foundation-micro"


def built(classes, front_end=None, *, seed=0):
    return build_dense(FOUNDATION, classes=classes, front_end=front_end or foundation_front_end(), seed=seed)


def test_the_shipped_model_is_gone_on_with_under_the_same_head():
    known = start_from(FOUNDATIONS[FOUNDATION], ("normal", "inner_race", "outer_race", "ball"))
    cut_down = built(("inner_race", "normal", "worn"))
    assert torch.equal(cut_down.head.weight[0], known.head.weight[1])
    assert torch.equal(cut_down.head.weight[1], known.head.weight[0])
    assert cut_down.head.weight.shape == (3, 64)
    for name, tensor in known.backbone.state_dict().items():
        assert torch.equal(cut_down.backbone.state_dict()[name], tensor)


def test_new_rows_depend_on_the_seed_alone():
    first, second, other = (built(("normal", "worn"), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.head.weight, second.head.weight)
    assert not torch.equal(first.head.weight[1], other.head.weight[1])


def test_windows_and_steps_are_those_that_the_model_takes():
    assert windows_for(FOUNDATION, None) == front_end_of(FOUNDATIONS[FOUNDATION]).window_length == 16_384
    assert windows_for("nano-mha", None) == 8_192
    assert windows_for("nano-mha", 4_096) == 4_096
    assert learning_rate_for(FOUNDATION) < learning_rate_for("nano-mha")
    with pytest.raises(ConfigError, match="takes 16384"):
        windows_for(FOUNDATION, 8_192)


def test_recordings_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="takes 16384 samples at 12000 Hz"):
        built(("normal", "ball"), front_end_for(10_000.0, 16_384))


def test_other_names_are_no_folders_to_start_from(tmp_path):
    assert start_folder("nano-mha") is None
    assert start_folder(str(tmp_path)) is None
