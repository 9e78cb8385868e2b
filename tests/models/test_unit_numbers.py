"""Numbers of layers and heads in configurations follow a cut, in memory and in the folder."""

from __future__ import annotations

import json

import pytest
from transformers import AutoModelForCausalLM, GenerationConfig

from secateur.core.errors import CheckpointError
from secateur.core.progress import quiet
from secateur.models import checkpoint
from secateur.models.binding import bind
from secateur.models.unit_numbers import keep_generation_numbers
from secateur.structure.plan import PruningPlan
from secateur.surgery.apply import apply
from zoo import ZOO


@pytest.fixture(autouse=True)
def _quiet():
    with quiet():
        yield


def specimen(name):
    return next(entry for entry in ZOO if entry.name == name)


def identity(model) -> PruningPlan:
    bound = bind(model)
    return PruningPlan.identity(bound.spec.family, bound.shape)


def test_heads_that_align_sound_and_text_follow_their_layer_and_head():
    """Whisper: two encoder layers, three of the decoder with four heads over the encoder."""
    model = specimen("whisper").build()
    model.generation_config.alignment_heads = [[0, 1], [1, 0], [2, 2], [2, 3]]
    plan = identity(model).without_layers((3,))
    plan = plan.with_cross_groups(4, (1, 3))
    small = apply(model, plan)
    assert small.generation_config.alignment_heads == [[0, 1], [1, 1]]
    assert model.generation_config.alignment_heads == [[0, 1], [1, 0], [2, 2], [2, 3]]
    alone = apply(model, identity(model).with_cross_groups(3, (0, 1)).without_layers((2, 4)))
    assert alone.generation_config.alignment_heads == [[0, 0]]
    none = apply(model, identity(model).without_layers((2, 4)).with_cross_groups(3, (2, 3)))
    assert not hasattr(none.generation_config, "alignment_heads")


def test_layers_named_for_decoding_follow():
    settings = GenerationConfig(dola_layers=[0, 1, 2], assistant_early_exit=2)
    keep_generation_numbers(settings, identity(specimen("llama").build()).without_layers((1,)))
    assert settings.dola_layers == [0, 1]
    assert settings.assistant_early_exit == 1


@pytest.mark.parametrize(("kept", "expected"), [((0, 2), 1), ((1, 2), 0), ((0, 1), 1)])
@pytest.mark.parametrize("widths", ["equal", "unequal"])
def test_the_first_sliding_layer_is_counted_anew(kept, expected, widths, tmp_path):
    model = specimen("qwen2").build()
    plan = identity(model).without_layers(set(range(3)) - set(kept))
    if widths == "unequal":
        plan = plan.with_channels(kept[0], range(6))
    small = apply(model, plan)
    assert small.config.max_window_layers == expected
    checkpoint.save(small, tmp_path / "saved", plan=plan)
    assert checkpoint.load(tmp_path / "saved").config.max_window_layers == expected


@pytest.mark.parametrize("widths", ["equal", "unequal"])
def test_both_forms_of_a_list_of_layers_agree(widths, tmp_path):
    model = specimen("gpt_neo").build()
    plan = identity(model).without_layers((0,))
    if widths == "unequal":
        plan = plan.with_channels(1, range(6))
    small = apply(model, plan)
    checkpoint.save(small, tmp_path / "saved", plan=plan)
    config = checkpoint.load(tmp_path / "saved").config
    assert config.attention_layers == ["local", "global"]
    assert config.attention_types == [[["local", "global"], 1]]
    if widths == "equal":
        values = json.loads((tmp_path / "saved" / "config.json").read_text())
        assert values["attention_types"] == [[["local", "global"], 1]]


def test_a_folder_with_which_generate_fails_does_not_get_its_name(tmp_path):
    model = specimen("llama").build()
    model.generation_config.sequence_bias = []
    with pytest.raises(CheckpointError, match=r"was not written: generate fails .*sequence_bias"):
        checkpoint.save(model, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
    model.generation_config.sequence_bias = [[[5], 1.0]]
    checkpoint.save(model, tmp_path / "saved")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "saved").generation_config.sequence_bias
