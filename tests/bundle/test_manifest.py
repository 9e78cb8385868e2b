import json
import shutil

import pytest

from secateur.bundle.manifest import read_manifest
from secateur.core.errors import CheckpointError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 3}, "schema version 3.*Update secateur"),
        ({"schema_version": None}, "schema version None.*Export"),
        ({"surprise": 1}, "surprise"),
        ({"labels": ["one"]}, "labels"),
        ({"sampling_rate_hz": 0}, "sampling_rate_hz"),
        ({"files": {"../model.onnx": {"sha256": "0" * 64, "bytes": 1}}}, "files"),
        ({"files": {}}, "does not list model.onnx"),
        ({"parity": {"max_abs_diff": 1.0, "tolerance": 1e-4, "windows": 1}}, "parity"),
    ],
)
def test_impossible_manifest_is_refused_by_name(bundle_folder, tmp_path, change, message):
    value = json.loads((bundle_folder / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**value, **change}))
    with pytest.raises(CheckpointError, match=message):
        read_manifest(tmp_path)


def test_missing_field_is_named(bundle_folder, tmp_path):
    value = json.loads((bundle_folder / "manifest.json").read_text())
    del value["sampling_rate_hz"]
    (tmp_path / "manifest.json").write_text(json.dumps(value))
    with pytest.raises(CheckpointError, match="sampling_rate_hz"):
        read_manifest(tmp_path)


def test_missing_and_cut_manifests_are_refused(bundle_folder, tmp_path):
    with pytest.raises(CheckpointError, match="missing"):
        read_manifest(tmp_path)
    shutil.copy(bundle_folder / "manifest.json", tmp_path)
    text = (tmp_path / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(text[: len(text) // 2])
    with pytest.raises(CheckpointError, match="cut short"):
        read_manifest(tmp_path)
