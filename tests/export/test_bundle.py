import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from secateur.bundle.manifest import MANIFEST_FILE, read_manifest
from secateur.core.errors import ConfigError, ExportError
from secateur.core.files import sha256_of
from secateur.export import bundle as bundle_module
from secateur.export import formats
from secateur.export.bundle import write_bundle
from secateur.export.sealing import plan_sha256
from secateur.models.binding import bind
from secateur.structure.plan import PruningPlan


def test_manifest_describes_the_model_and_its_files(bundle, diagnoser):
    manifest = read_manifest(bundle.folder)
    assert manifest == bundle.manifest
    assert manifest.labels == ("normal", "inner_race", "ball")
    assert manifest.window_length == 512
    assert manifest.sampling_rate_hz == 12000.0
    assert manifest.front_end == {"patch": 64}
    assert manifest.parameters == sum(parameter.numel() for parameter in diagnoser.parameters())
    groups = 4 if manifest.family == "gpt2" else 2
    assert [(layer.index, layer.heads, layer.groups, layer.channels) for layer in manifest.layers] == [
        (0, 4, groups, 48),
        (1, 4, groups, 48),
    ]
    for name, record in manifest.files.items():
        assert record.sha256 == sha256_of(bundle.folder / name)
        assert record.bytes == (bundle.folder / name).stat().st_size
    assert bundle.n_bytes == sum(path.stat().st_size for path in bundle.folder.iterdir())
    assert 0 <= manifest.parity.max_abs_diff <= manifest.parity.tolerance == 1e-4


def test_golden_windows_are_of_different_classes(bundle, windows):
    with np.load(bundle.folder / "golden.npz", allow_pickle=False) as golden:
        np.testing.assert_array_equal(golden["waveform"], windows["waveform"][[0, 2]])
        assert golden["logits"].shape == (2, 3)


def test_plan_metrics_and_lineage_are_recorded(bundle, diagnoser):
    stored = json.loads((bundle.folder / "manifest.json").read_text())
    assert stored["metrics"]["leaks"] is True
    assert stored["metrics"]["values"] == {"accuracy": 0.5}
    assert stored["lineage"]["seed"] == 3
    bound = bind(diagnoser)
    plan = PruningPlan.identity(bound.spec.family, bound.shape)
    assert stored["lineage"]["plan_sha256"] == plan_sha256(plan)
    assert plan_sha256(plan.without_layers([0])) != plan_sha256(plan)


@pytest.fixture
def instant_export(bundle, monkeypatch):
    """The graph of the finished bundle in place of a new export."""
    monkeypatch.setattr(
        formats,
        "export_for_onnxruntime",
        lambda model, w, path: shutil.copy(bundle.folder / "model.onnx", path),
    )


def test_positions_are_those_of_the_dense_model(bundle, diagnoser, windows, tmp_path, instant_export):
    shape = replace(
        bind(diagnoser).shape,
        n_layers=5,
        heads_per_layer=(4,) * 5,
        kv_groups_per_layer=(bind(diagnoser).shape.kv_groups_per_layer[0],) * 5,
        channels_per_layer=(48,) * 5,
    )
    plan = PruningPlan.identity(bundle.manifest.family, shape).without_layers([0, 2, 3])
    info = write_bundle(diagnoser, windows, tmp_path / "b", name="x", plan=plan)
    assert [layer.index for layer in info.manifest.layers] == [1, 4]
    with pytest.raises(ExportError, match="keeps 5 layers but the model has 2"):
        write_bundle(
            diagnoser, windows, tmp_path / "c", name="x", plan=PruningPlan.identity(plan.family, shape)
        )
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_failed_parity_leaves_nothing_and_keeps_the_former_bundle(
    diagnoser, windows, tmp_path, monkeypatch, instant_export
):
    former = tmp_path / "bundle"
    former.mkdir()
    (former / MANIFEST_FILE).write_text("{}")
    (former / "keep").write_text("former")
    monkeypatch.setattr(bundle_module, "reference_logits", lambda model, w: np.zeros((5, 3), np.float32))
    with pytest.raises(ExportError, match="differ from the checkpoint"):
        write_bundle(diagnoser, windows, former, name="x")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (former / "keep").read_text() == "former"


def test_a_folder_that_is_no_bundle_is_not_replaced(diagnoser, windows, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        write_bundle(diagnoser, windows, tmp_path, name="x")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"waveform": np.zeros((5, 100), np.float32)}, "512 samples"),
        ({"waveform": np.zeros((1, 512), np.float32)}, "at least 2"),
        ({"waveform": np.full((5, 512), np.nan, np.float32)}, "NaN"),
        ({"shaft_rate_hz": None}, "lack shaft_rate_hz"),
    ],
)
def test_unfit_windows_are_refused_before_any_work(diagnoser, windows, tmp_path, change, message):
    given = {name: value for name, value in {**windows, **change}.items() if value is not None}
    with pytest.raises(ExportError, match=message):
        write_bundle(diagnoser, given, tmp_path / "b", name="x")
    assert list(tmp_path.iterdir()) == []
