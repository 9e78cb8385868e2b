from __future__ import annotations

import json
from dataclasses import replace

import pytest

from secateur.core.errors import CheckpointError, PlanError
from secateur.core.records import write_json
from secateur.structure.latency import LatencyTable, read_latency_table
from secateur.structure.shape import ModelShape

TABLE = LatencyTable(
    family="gpt2",
    hidden=64,
    threads=1,
    tokens=(16, 64),
    heads=(1, 4, 8),
    channels=(32, 256),
    outside_ms=(0.5, 1.0),
    heads_ms=((3.2, 3.8, 4.6), (10.2, 10.8, 11.6)),
    channels_ms=((1.7, 4.6), (4.0, 11.6)),
    window_tokens=16,
    front_end_ms=2.0,
    provenance={"command": "secateur profile"},
)


def shape(heads, channels, hidden=64):
    return ModelShape(
        n_layers=len(heads),
        hidden=hidden,
        head_dim=8,
        heads_per_layer=heads,
        kv_groups_per_layer=heads,
        channels_per_layer=channels,
        other_parameters=0,
    )


@pytest.mark.parametrize(
    ("heads", "channels", "tokens", "expected"),
    [
        (8, 256, 16, 4.6),
        (4, 256, 16, 3.8),
        (6, 256, 16, 4.2),
        (8, 32, 16, 1.7),
        (4, 32, 16, 3.8 + 1.7 - 4.6),
        (4, 256, 64, 10.8),
        (4, 256, 40, (3.8 + 10.8) / 2),
    ],
)
def test_one_layer_by_hand(heads, channels, tokens, expected):
    assert TABLE.layer_ms(heads, channels, tokens=tokens) == pytest.approx(expected)


def test_layers_are_added_to_what_lies_outside():
    two = shape((8, 4), (256, 32))
    assert TABLE.backbone_ms(two, tokens=16) == pytest.approx(0.5 + 4.6 + 0.9)
    assert TABLE.diagnoser_ms(two) == pytest.approx(2.0 + 0.5 + 4.6 + 0.9)


def test_what_was_not_measured_is_refused():
    with pytest.raises(PlanError, match="80 tokens lie outside"):
        TABLE.backbone_ms(shape((8,), (256,)), tokens=80)
    with pytest.raises(PlanError, match="of width 64, the model of width 32"):
        TABLE.backbone_ms(shape((8,), (256,), hidden=32), tokens=16)


def test_a_table_comes_back_from_its_file(tmp_path):
    write_json(tmp_path / "table.json", TABLE)
    assert read_latency_table(tmp_path / "table.json") == TABLE


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 9},
        {"heads": [4, 1, 8]},
        {"outside_ms": [0.5]},
        {"channels_ms": [[1.0], [2.0]]},
        {"unknown": 1},
    ],
)
def test_a_damaged_table_is_refused(tmp_path, change):
    value = {**json.loads(json.dumps(TABLE.to_json())), **change}
    write_json(tmp_path / "table.json", value)
    with pytest.raises(CheckpointError):
        read_latency_table(tmp_path / "table.json")


def test_noise_does_not_make_a_narrower_layer_the_slower_one():
    noisy = replace(TABLE, channels_ms=((1.7, 1.6, 4.6), (4.0, 3.0, 11.6)), channels=(32, 64, 256))
    times = [noisy.layer_ms(8, channels, tokens=16) for channels in range(1, 257)]
    assert times == sorted(times)
    assert noisy.layer_ms(8, 64, tokens=16) == pytest.approx(1.7)
