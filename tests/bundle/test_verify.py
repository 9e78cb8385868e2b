import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from secateur.bundle.verify import verify_bundle
from secateur.core.errors import CheckpointError, ConfigError, ExportError
from secateur.core.files import sha256_of


def test_sound_bundle_passes(bundle_folder):
    assert verify_bundle(bundle_folder).golden_max_abs_diff <= 1e-4


def test_needs_no_torch(bundle_folder):
    program = (
        "import sys; from secateur.bundle.verify import verify_bundle; "
        f"verify_bundle({str(bundle_folder)!r}); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'onnx')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_altered_cut_and_missing_files_are_refused(copied):
    model = copied / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        verify_bundle(copied)
    model.write_bytes(content[:-10])
    with pytest.raises(CheckpointError, match="bytes instead of"):
        verify_bundle(copied)
    model.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        verify_bundle(copied)


def _replace(folder, name, write):
    write(folder / name)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_other_logits_than_the_golden_ones_are_refused(copied):
    with np.load(copied / "golden.npz") as stored:
        golden = dict(stored)
    golden["logits"] = golden["logits"] + 1e-3
    _replace(copied, "golden.npz", lambda path: np.savez(path, **golden))
    with pytest.raises(ExportError, match="golden logits"):
        verify_bundle(copied)


def test_file_that_is_no_graph_is_refused(copied):
    _replace(copied, "model.onnx", lambda path: path.write_bytes(b"not a graph"))
    with pytest.raises(ExportError, match="cannot load"):
        verify_bundle(copied)


def test_golden_file_that_is_no_archive_is_refused(copied):
    _replace(copied, "golden.npz", lambda path: path.write_bytes(b"PK not an archive"))
    with pytest.raises(CheckpointError, match="golden windows"):
        verify_bundle(copied)


def test_the_folder_of_a_run_or_a_checkpoint_is_told_from_a_damaged_bundle(bundle_folder, tmp_path):
    (tmp_path / "run").mkdir()
    shutil.copytree(bundle_folder, tmp_path / "run/bundle")
    with pytest.raises(ConfigError, match=r"give the bundle of this run, .*run/bundle\."):
        verify_bundle(tmp_path / "run")
    (tmp_path / "pruned").mkdir()
    (tmp_path / "pruned/config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"a checkpoint; .* secateur export .*pruned --out bundle"):
        verify_bundle(tmp_path / "pruned")
