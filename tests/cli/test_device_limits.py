"""Targets in latency and memory on the command line: wrong use, and one run that keeps them."""

from __future__ import annotations

import json

import pytest

from even_shapes import even_table
from secateur.cli.app import run
from secateur.core.records import write_json
from secateur.models.binding import bind
from secateur.models.checkpoint import describe, load
from secateur.structure.latency import LatencyTable

TABLE = even_table(tokens=(24,), window_tokens=24)


@pytest.fixture
def table(tmp_path, small_run):
    """Write a table for the windows of the small run, with changes."""

    def write(**changes):
        tokens = load(small_run / "dense").front_end.n_tokens
        values = TABLE.to_json() | {"tokens": (tokens,), "window_tokens": tokens} | changes
        path = tmp_path / "latency.json"
        write_json(path, LatencyTable(**values))
        return path

    return write


@pytest.fixture
def refused(capfd, tmp_path, small_run):
    def call(*options):
        out = tmp_path / "out"
        code = run(["prune", str(small_run / "dense"), "--json", "--out", str(out), *map(str, options)])
        assert code == 2
        assert not out.exists()
        return json.loads(capfd.readouterr().out)["error"]

    return call


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--latency-ms", "4"], "needs a table of this backbone"),
        (["--latency-ms", "4", "--latency-table", "nowhere.json"], "nowhere.json is no file"),
        (["--memory-mib", "1"], "memory of 1 MiB was asked for, but the smallest cut"),
        (["--memory-mib", "-1"], "must be positive"),
        (["--runtime-mib", "50"], "--runtime-mib: goes with --memory-mib"),
        (["--memory-mib", "90", "--precision", "bf16"], "allowed: fp32, int8"),
        (["--block-fraction", "0.5", "--memory-mib", "90"], "--block-fraction: not for Diagnosers"),
    ],
)
def test_wrong_use_is_one_message(options, said, refused):
    assert said in refused(*options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "latency_ms", "said"),
    [
        ({}, "2.5", "predicted to take 2.6 ms"),
        ({"hidden": 64}, "4", "of gpt2 backbones of width 64, the model is gpt2 of width 32"),
        ({"family": "llama"}, "4", "of llama backbones"),
        ({"window_tokens": 7, "tokens": (7,)}, "4", "of windows of 7 tokens"),
        ({"channels": (8, 32)}, "4", "ends at 4 heads and 32 channels"),
        ({}, "0", "give a positive number"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(changes, latency_ms, said, refused, table):
    assert said in refused("--latency-ms", latency_ms, "--latency-table", table(**changes))


@pytest.mark.slow
def test_a_table_without_a_latency_is_refused(refused, table):
    assert "add --latency-ms" in refused("--latency-table", table())


@pytest.mark.slow
def test_prune_keeps_a_latency_and_a_memory(small_run, tmp_path, table, capfd):
    path, out = table(), tmp_path / "cut"
    code = run(
        [
            *("prune", str(small_run / "dense"), "--recovery-steps", "2", "--batch-size", "8", "--json"),
            *("--latency-ms", "5.2", "--latency-table", str(path), "--memory-mib", "150", "--out", str(out)),
        ]
    )
    assert code == 0
    capfd.readouterr()
    shape = bind(load(out)).shape
    values = json.loads(path.read_text())
    found = LatencyTable(**values).diagnoser_ms(shape)
    dense = LatencyTable(**values).diagnoser_ms(bind(load(small_run / "dense")).shape)
    assert found <= 5.2 < dense
    # nothing is given away: the next wider model would break the latency
    assert found > 4.9
    metadata = describe(out).metadata
    assert metadata["ratio"] is None
    assert metadata["limits"]["latency"]["predicted"] == pytest.approx(found)
    assert metadata["limits"]["memory"]["most"] == 150
