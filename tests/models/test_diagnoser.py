"""The Diagnoser and its presets."""

from __future__ import annotations

import pytest
import torch

from secateur.core.errors import ConfigError, UnsupportedArchitecture
from secateur.models.binding import bind
from secateur.models.diagnoser import Diagnoser, DiagnoserConfig
from secateur.models.front_end.settings import FrontEndSettings
from secateur.models.presets import PRESETS, SIZES, build_preset, preset_config

CLASSES = ("normal", "inner_race", "ball")
FRONT_END = FrontEndSettings(sampling_rate_hz=12000.0)


def inputs(batch: int = 2):
    torch.manual_seed(1)
    orders = torch.tensor([[3.5848, 5.4152, 4.7135, 0.39828]]).expand(batch, -1)
    return torch.randn(batch, FRONT_END.window_length), torch.full((batch,), 29.0), orders


@pytest.mark.parametrize("name", ["nano-mha", "nano-gqa"])
def test_windows_do_not_influence_each_other(name):
    model = build_preset(name, classes=CLASSES, sampling_rate_hz=12000.0).eval()
    waveform, rate, orders = inputs(3)
    together = model(waveform, rate, orders)
    assert together.shape == (3, len(CLASSES))
    alone = torch.cat([model(waveform[i : i + 1], rate[i : i + 1], orders[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["nano-mha", "nano-gqa"])
def test_the_configuration_survives_json(name):
    model = build_preset(name, classes=CLASSES, sampling_rate_hz=12000.0).eval()
    again = Diagnoser(DiagnoserConfig.from_json(model.config.to_json())).eval()
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again(*inputs()), model(*inputs()))


def test_presets_are_what_they_say():
    attention = {"mha": "gpt2", "gqa": "llama"}
    for name in PRESETS:
        size, kind = name.split("-")
        config = preset_config(name, classes=CLASSES, front_end=FRONT_END)
        assert config.family == attention[kind]
        with torch.device("meta"):
            shape = bind(Diagnoser(config)).shape
        assert (shape.n_layers, shape.hidden) == (SIZES[size].layers, SIZES[size].hidden)
        groups = SIZES[size].heads if kind == "mha" else SIZES[size].kv_groups
        assert set(shape.kv_groups_per_layer) == {groups}


@pytest.mark.parametrize(("name", "low", "high"), [("small-mha", 8e6, 15e6), ("base-mha", 80e6, 90e6)])
def test_presets_have_the_size_they_are_named_for(name, low, high):
    config = preset_config(name, classes=CLASSES, front_end=FRONT_END)
    with torch.device("meta"):
        assert low <= sum(parameter.numel() for parameter in Diagnoser(config).parameters()) <= high


def test_no_parameter_is_dead():
    model = build_preset("nano-mha", classes=CLASSES, sampling_rate_hz=12000.0)
    waveform, _rate, orders = inputs()
    model(waveform, torch.tensor([29.0, 0.0]), orders).sum().backward()
    dead = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert dead == []


def test_wrong_names_and_families_are_refused():
    with pytest.raises(ConfigError, match="small-gqa"):
        preset_config("tiny-mha", classes=CLASSES, front_end=FRONT_END)
    with pytest.raises(UnsupportedArchitecture, match="gpt2, llama"):
        DiagnoserConfig(classes=CLASSES, front_end=FRONT_END, backbone={"model_type": "bert"})
    with pytest.raises(ConfigError, match="at least two"):
        DiagnoserConfig(classes=("normal",), front_end=FRONT_END, backbone={"model_type": "gpt2"})
    with pytest.raises(ConfigError, match="not the configuration"):
        DiagnoserConfig.from_json({"classes": list(CLASSES)})
