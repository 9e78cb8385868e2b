"""The table of a profile: worked out from given times, and measured once on a tiny preset."""

from __future__ import annotations

import json

import pytest

from secateur.bench.profile import DEEP, check_widths, table_from_times, widths_to_measure
from secateur.cli.app import run
from secateur.structure.latency import read_latency_table
from secateur.structure.shape import ModelShape

HEADS, CHANNELS = (1, 4, 8), (128, 512, 1024)


def made_up(layers, heads, channels, tokens):
    """Milliseconds of a machine on which everything is linear."""
    return 0.3 + 0.01 * tokens + layers * tokens * (0.02 + 0.01 * heads + 0.0001 * channels)


def shape():
    return ModelShape(
        n_layers=DEEP,
        hidden=256,
        head_dim=32,
        heads_per_layer=(8,) * DEEP,
        kv_groups_per_layer=(8,) * DEEP,
        channels_per_layer=(1024,) * DEEP,
        other_parameters=0,
    )


def test_a_linear_machine_is_predicted_exactly():
    widths = widths_to_measure(HEADS, CHANNELS)
    times = {n: {entry: made_up(*entry, n) for entry in widths} for n in (16, 21)}
    table = table_from_times(
        times,
        HEADS,
        CHANNELS,
        family="gpt2",
        shape=shape(),
        window_tokens=21,
        narrow_bundle_ms=made_up(1, 1, 128, 21) + 0.75,
        threads=1,
    )
    assert table.outside_ms == pytest.approx((0.3 + 0.16, 0.3 + 0.21))
    assert table.front_end_ms == pytest.approx(0.75)
    for heads, channels, tokens in ((1, 128, 16), (3, 700, 21), (8, 1024, 18)):
        expected = tokens * (0.02 + 0.01 * heads + 0.0001 * channels)
        assert table.layer_ms(heads, channels, tokens=tokens) == pytest.approx(expected)
    assert table.checked["predicted_ms"] == pytest.approx(table.checked["measured_ms"])


def test_the_check_is_no_entry_of_the_table():
    layers, heads, channels = check_widths(HEADS, CHANNELS)
    assert (layers, heads, channels) == (2, 4, 512)
    assert len(set(widths_to_measure(HEADS, CHANNELS))) == len(widths_to_measure(HEADS, CHANNELS))


@pytest.mark.long
def test_a_preset_is_measured(tmp_path, capsys):
    out = tmp_path / "latency.json"
    assert run(["profile", "nano-gqa", "--out", str(out), "--seconds", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    table = read_latency_table(out)
    assert table.family == "llama"
    assert (table.heads[-1], table.channels[-1]) == (4, 48)
    assert told["checked"]["measured_ms"] > 0
    assert table.layer_ms(4, 48, tokens=table.window_tokens) > 0
    assert table.front_end_ms > 0


def test_what_is_neither_preset_nor_checkpoint_is_wrong_use(tmp_path, capsys):
    assert run(["profile", "huge-mha", "--json"]) == 2
    assert "base-mha" in json.loads(capsys.readouterr().out)["error"]
    assert run(["profile", "nano-mha", "--tokens", "many", "--json"]) == 2
