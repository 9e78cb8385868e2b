"""Models measured side by side: what is planned, taken in turns, and compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from secateur.bench import measure as measure_module
from secateur.bench.backbone import export_backbone, quantise_backbone
from secateur.bench.energy import RaplMeter
from secateur.bench.measure import BenchSettings, measure
from secateur.bench.rates import Rates
from secateur.bench.turns import rounds_of, take_turns
from secateur.bench.work import kind_of, plan_work, stored_bytes
from secateur.core.errors import ConfigError
from secateur.core.progress import quiet
from secateur.core.records import to_jsonable


class Recorded:
    """A worker that writes down when it is asked."""

    def __init__(self, name, asked, ms):
        self.name, self.asked, self.ms = name, asked, ms

    def ask(self, command, **arguments):
        self.asked.append((self.name, command, arguments["seconds"]))
        return {"wall_ns": [self.ms * 10**6] * 3, "cpu_ns": [self.ms * 5 * 10**5] * 3, "inferences": 5}


def test_models_take_turns_there_and_back(tmp_path):
    asked = []
    workers = [Recorded(name, asked, ms) for name, ms in (("a", 4), ("b", 2), ("c", 1))]
    with quiet():
        turns = take_turns(workers, seconds=3.0, meter=RaplMeter(tmp_path), description="turns")
    assert [name for name, _, _ in asked[:6]] == ["a", "b", "c", "c", "b", "a"]
    assert [len(own) for own in turns] == [10, 10, 10]
    assert sum(seconds for _, _, seconds in asked) == pytest.approx(3.0)
    assert (turns[0][0].wall, turns[0][0].cpu, turns[0][0].inferences) == (4.0, 2.0, 5)


@pytest.mark.parametrize(
    ("seconds", "models", "expected"),
    [(60.0, 2, (60, 0.5)), (1.0, 2, (10, 0.05)), (5000.0, 1, (400, 12.5))],
)
def test_turns_are_short(seconds, models, expected):
    assert rounds_of(seconds, models) == pytest.approx(expected)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    from tiny_bundles import tiny_diagnoser

    folder = tmp_path_factory.mktemp("graphs")
    model = tiny_diagnoser("llama")
    export_backbone(model, folder / "plain.onnx")
    quantise_backbone(folder / "plain.onnx", folder / "int8.onnx")
    return model, folder


def test_a_backbone_alone_gives_what_torch_gives_at_any_number_of_tokens(graphs):
    model, folder = graphs
    session = onnxruntime.InferenceSession(str(folder / "plain.onnx"))
    for count in (1, 3, 16):
        tokens = np.random.default_rng(count).standard_normal((2, count, 32)).astype(np.float32)
        (given,) = session.run(None, {"tokens": tokens})
        with torch.no_grad():
            expected = model.backbone(inputs_embeds=torch.from_numpy(tokens)).last_hidden_state
        assert np.abs(given - expected.numpy()).max() < 1e-5
    assert stored_bytes(folder / "int8.onnx") < stored_bytes(folder / "plain.onnx")


def test_graphs_are_measured_and_compared(graphs, monkeypatch):
    rates = Rates(threads=1, sizes_bytes=(1e6,), bandwidths=(8e10,), float_rate=1e11, integer_rate=4e11)
    monkeypatch.setattr(measure_module, "measure_rates", lambda *, threads: rates)
    _, folder = graphs
    models = {name: folder / f"{name}.onnx" for name in ("plain", "int8")}
    with quiet():
        found = measure(models, BenchSettings(seconds=0.2, starts=1, tokens=(5,)), bases=("plain",))
    (group,) = found.groups
    assert group.tokens == 5
    plain, int8 = group.models
    weights = 2 * (32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 48)
    attention = 2 * 2 * 4 * 5 * 5 * 8
    assert plain.operations.float_operations == pytest.approx(2 * (5 * weights + attention), rel=0.02)
    assert plain.operations.integer_operations == 0
    assert int8.operations.integer_operations == 2 * 5 * weights
    assert plain.operations.weight_bytes == pytest.approx(4 * weights, rel=0.1)
    assert 0 < plain.roofline.share < 1
    assert plain.memory.imported < plain.memory.loaded <= plain.memory.peak
    assert plain.wall_ms.p50 <= plain.wall_ms.p90 <= plain.wall_ms.p99
    assert len(plain.wall_quantiles_ms) == 101
    (comparison,) = group.comparisons
    assert (comparison.base, comparison.model) == ("plain", "int8")
    assert comparison.cpu.low <= comparison.cpu.value <= comparison.cpu.high
    assert comparison.stored == plain.stored_bytes / int8.stored_bytes
    json.dumps(to_jsonable(found))


class Fake:
    """A process that takes as many milliseconds as the name of its folder says."""

    started = ()

    def __init__(self, work):
        Fake.started += (Path(work.path).name,)
        self.work, self.ms = work, int(Path(work.path).name)
        self.cold_start_s = float(len(Fake.started))
        self.first = {"imported": None, "loaded": None, "answered": None}

    def ask(self, command, **arguments):
        if command == "memory":
            return {"now": None, "peak": None}
        return {"wall_ns": [self.ms * 10**6] * 3, "cpu_ns": [self.ms * 5 * 10**5] * 3, "inferences": 5}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def test_ratios_starts_and_what_the_system_does_not_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(measure_module, "Worker", Fake)
    models = {}
    for name, ms in (("slow", 12), ("middle", 6), ("fast", 3)):
        (tmp_path / str(ms)).mkdir()
        (tmp_path / str(ms) / "config.json").write_text("x" * ms)
        models[name] = tmp_path / str(ms)
    with quiet():
        found = measure(models, BenchSettings(seconds=1.0, starts=2), bases=("slow", "middle"))
    assert Fake.started == ("12", "6", "3", "12", "6", "3")
    assert found.rates is None
    assert any("/proc/self/status" in note for note in found.notes)
    # the fakes compute half of the time that they take
    assert any("up to 2.0 times their processor time" in note for note in found.notes)
    (group,) = found.groups
    slow = group.models[0]
    assert slow.cold_starts_s == (1.0, 4.0)
    assert (slow.wall_ms.p99, slow.cpu_ms.p50, slow.throughput_per_s) == (12.0, 6.0, pytest.approx(1000 / 12))
    assert (slow.memory, slow.operations, slow.roofline, slow.diagnosis) == (None, None, None, None)
    ratios = {(entry.base, entry.model): entry for entry in group.comparisons}
    assert set(ratios) == {("slow", "middle"), ("slow", "fast"), ("middle", "slow"), ("middle", "fast")}
    fast = ratios["slow", "fast"]
    assert (fast.wall.value, fast.cpu.value, fast.stored, fast.peak) == (4.0, 4.0, 4.0, None)
    assert fast.cpu.saved == 0.75


def test_what_is_measured_is_told_by_what_lies_there(bundle_folder, graphs, tmp_path):
    assert kind_of(bundle_folder) == "bundle"
    assert kind_of(graphs[1] / "plain.onnx") == "graph"
    (tmp_path / "config.json").write_text("{}")
    assert kind_of(tmp_path) == "checkpoint"
    with pytest.raises(ConfigError, match="neither a bundle"):
        kind_of(graphs[1])
    with pytest.raises(ConfigError, match="does not exist"):
        kind_of(tmp_path / "nothing")


def test_tokens_and_models_must_go_together(bundle_folder, graphs):
    graph = graphs[1] / "plain.onnx"
    with pytest.raises(ConfigError, match="the window decides"):
        plan_work([bundle_folder], tokens=(16,), threads=1)
    with pytest.raises(ConfigError, match="say how many"):
        plan_work([graph], tokens=(), threads=1)
    with pytest.raises(ConfigError, match="named twice"):
        plan_work([graph, graph], tokens=(16,), threads=1)
    with pytest.raises(ConfigError, match="at least 1"):
        plan_work([graph], tokens=(0,), threads=1)
    works = plan_work([graph], tokens=(16, 64), threads=2)
    assert [work.tokens for (work,) in works] == [16, 64]
    assert works[0][0].threads == 2


@pytest.mark.parametrize("wrong", [{"seconds": 0.0}, {"starts": 0}, {"seconds": float("nan")}])
def test_settings_must_be_positive(wrong):
    with pytest.raises(ConfigError):
        BenchSettings(**wrong)
