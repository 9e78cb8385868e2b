"""Diagnosers in LiteRT: what it computes is what the checkpoint computes; what is missing is named."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from secateur.bundle.archive import pack
from secateur.bundle.litert_session import LiteRtSession
from secateur.bundle.manifest import read_manifest
from secateur.bundle.verify import verify_bundle
from secateur.cli.app import run
from secateur.core.errors import CheckpointError, ConfigError, ExportError
from secateur.edge import Runtime
from secateur.export import formats, litert_model
from secateur.export.bundle import write_bundle
from secateur.export.litert_bits import int8_matrices, to_int8
from secateur.export.litert_graph import expand_by_copies, silent_compiler, sort_by_rank, to_flatbuffer
from secateur.export.parity import Tolerance, reference_logits
from secateur.export.quantise import Quantisation
from tiny_bundles import tiny_diagnoser, tiny_windows

needs_converter = pytest.mark.skipif(
    find_spec("litert_torch") is None, reason="the extra 'litert-export' is not installed"
)
LOOSE = Tolerance(logits=1.0, golden=0.05, probability=0.2, agreement=0.6)


# --- without the packages ---


@pytest.mark.parametrize("dim", [-1, 1, 2])
@pytest.mark.parametrize("descending", [False, True])
def test_a_sort_by_rank_is_a_stable_sort(dim, descending):
    draw = torch.Generator().manual_seed(0)
    given = torch.randint(0, 4, (2, 5, 7, 12), generator=draw).float()
    values, positions = sort_by_rank(given, dim, descending)
    expected = given.sort(dim=dim, descending=descending, stable=True)
    assert torch.equal(values, expected.values)
    assert torch.equal(positions, expected.indices)


def test_a_sort_by_rank_gives_each_value_to_the_last_bit():
    given = torch.randn(3, 12, generator=torch.Generator().manual_seed(1)) * 1e-3
    assert torch.equal(sort_by_rank(given)[0], given.sort(-1).values)


def test_copies_are_what_expand_gives_and_only_for_heads():
    given = torch.randn(1, 1, 5, 3, generator=torch.Generator().manual_seed(2))
    assert torch.equal(expand_by_copies(given, [1, 4, 5, 3]), given.expand(1, 4, 5, 3))
    assert expand_by_copies(given[0], [4, 5, 3]) is NotImplemented
    assert expand_by_copies(given, [1, 1000, 5, 3]) is NotImplemented
    assert expand_by_copies(given, [2, 1, -1, 3]) is NotImplemented


def test_precisions_and_schemes_belong_to_the_format():
    for precision in ("bfloat16", "int4"):
        with pytest.raises(ConfigError, match=f"'{precision}'; a bundle is written in float32 or int8"):
            formats.quantisation_of("litert", precision, None)
    assert formats.quantisation_of("litert", "int8", None).scheme == "dynamic"
    for scheme in ("dynamic", "weights", "static"):
        assert formats.quantisation_of("litert", "int8", Quantisation(scheme=scheme)).scheme == scheme


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--precision", "bf16"), "choose fp32 or int8 for litert: its quantiser writes no bfloat16"),
        (("--precision", "int4"), "choose fp32 or int8 for litert: this release writes none of its 4-bit"),
        (("--precision", "fp16"), "choose fp32 or int8 for litert"),
        (("--quantise", "weights"), "needs --precision int8"),
    ],
)
def test_the_command_refuses_what_the_format_lacks(arguments, said, capfd, tmp_path):
    out = tmp_path / "out"
    assert run(["export", "dense", "--format", "litert", *arguments, "--out", str(out)]) == 2
    assert said in " ".join(capfd.readouterr().err.split())
    assert not out.exists()


def test_a_missing_runtime_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.delitem(sys.modules, "ai_edge_litert.interpreter", raising=False)
    with pytest.raises(
        ConfigError, match=r"ai-edge-litert.*pip install 'secateur\[litert\]'.*ONNX do without"
    ):
        LiteRtSession(b"")


def test_a_missing_converter_is_named_and_nothing_is_left(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    with pytest.raises(ConfigError, match=r"litert-torch.*pip install 'secateur\[train,litert-export\]'"):
        write_bundle(tiny_diagnoser("llama"), tiny_windows(), tmp_path / "out", name="tiny", format="litert")
    assert list(tmp_path.iterdir()) == []


def test_what_compiled_parts_print_is_kept_back_and_nothing_else(capfd):
    with silent_compiler():
        os.write(2, b"from a compiler")
    os.write(2, b"from us")
    assert capfd.readouterr().err == "from us"


# --- with the packages ---


@pytest.fixture(scope="module")
def flatbuffer(cut, nano_windows):
    return to_flatbuffer(cut.model, nano_windows)


@pytest.fixture
def write(cut, flatbuffer, nano_windows, tmp_path, monkeypatch):
    """Write a bundle; the conversion, which takes most of the time, is done once."""
    monkeypatch.setattr(litert_model, "to_flatbuffer", lambda model, windows: flatbuffer)

    def written(**settings):
        return write_bundle(
            cut.model,
            nano_windows,
            tmp_path / "bundle",
            name="nano",
            plan=cut.plan,
            format="litert",
            **settings,
        )

    return written


@needs_converter
@pytest.mark.slow
def test_a_bundle_of_unequal_layers_is_equal_to_its_checkpoint(write, cut, nano_windows, tmp_path):
    info = write()
    manifest = read_manifest(info.folder)
    assert (manifest.format, manifest.model_file) == ("litert", "model.tflite")
    assert set(manifest.files) == {"model.tflite", "golden.npz"}
    assert [layer.channels for layer in manifest.layers] == [40, 32]
    assert {tensor.shape[0] for tensor in (*manifest.inputs, *manifest.outputs)} == {1}
    assert 0 < manifest.parity.max_abs_diff < 1e-5
    assert verify_bundle(info.folder).golden_max_abs_diff < 1e-5
    runtime = Runtime(info.folder)
    unknown = {"shaft_rate_hz": np.zeros(5), "fault_orders": np.zeros((5, 4))}
    expected = reference_logits(cut.model, {"waveform": nano_windows["waveform"], **unknown})
    logits, probabilities = runtime.predict(nano_windows["waveform"])
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(probabilities, torch.from_numpy(expected).softmax(-1), atol=1e-6)
    pack(info.folder, tmp_path / "nano.sct")
    packed, _ = Runtime(tmp_path / "nano.sct").predict(nano_windows["waveform"])
    np.testing.assert_array_equal(packed, logits)


@needs_converter
@pytest.mark.slow
def test_the_file_tells_nothing_of_the_exporting_machine(flatbuffer):
    for told in (sys.prefix, str(Path.cwd()), "site-packages"):
        assert told.encode() not in flatbuffer


@needs_converter
@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["dynamic", "weights", "static"])
def test_int8_is_in_the_backbone_alone(write, cut, nano_windows, scheme):
    calibration = [nano_windows] if scheme == "static" else ()
    info = write(
        precision="int8", quantise=Quantisation(scheme=scheme, calibration=calibration), tolerance=LOOSE
    )
    record = info.manifest.quantisation
    assert record.scheme == scheme
    assert record.calibration_windows == (5 if scheme == "static" else 0)
    assert record.matrices == {"int8": cut.projections}
    assert 1e-4 < info.parity.max_abs_diff < 0.3
    assert info.graph_bytes < info.float32_graph_bytes
    assert Runtime(info.folder).golden_max_abs_diff < 1e-6
    small = int8_matrices((info.folder / "model.tflite").read_bytes())
    assert len(small) == cut.projections
    assert all("_backbone/" in name for name in small)


@needs_converter
@pytest.mark.slow
def test_beyond_tolerance_nothing_is_written(write, tmp_path):
    with pytest.raises(ExportError, match="differ from the checkpoint"):
        write(precision="int8", tolerance=Tolerance(logits=1e-6, golden=0.1))
    assert list(tmp_path.iterdir()) == []


@needs_converter
@pytest.mark.slow
def test_static_needs_windows(flatbuffer):
    with pytest.raises(ExportError, match="needs calibration windows"):
        to_int8(flatbuffer, Quantisation(scheme="static"))


@needs_converter
@pytest.mark.slow
def test_a_flipped_byte_is_refused(write):
    path = write().folder / "model.tflite"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        Runtime(path.parent)


@needs_converter
@pytest.mark.slow
def test_a_missing_runtime_is_named_when_a_bundle_is_opened(write, monkeypatch):
    folder = write().folder
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ConfigError, match=r"pip install 'secateur\[litert\]'"):
        Runtime(folder)


OPENS = """
import json, sys
from secateur.edge import Runtime
Runtime(sys.argv[1])
names = ("torch", "transformers", "onnx", "onnxruntime", "jax", "litert_torch", "litert_converter", "xdsl")
print(json.dumps([name for name in names if sys.modules.get(name) is not None]))
"""


@needs_converter
@pytest.mark.slow
def test_a_device_needs_the_interpreter_alone(write):
    answer = subprocess.run(
        [sys.executable, "-c", OPENS, str(write().folder)], capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout) == []


class Bessel(nn.Module):
    """Holds an operator that LiteRT has not."""

    def forward(self, waveform, shaft_rate_hz, fault_orders):
        return torch.special.bessel_j0(waveform[:, :3])


@needs_converter
@pytest.mark.slow
def test_an_unsupported_operator_is_named():
    with pytest.raises(ExportError, match=r"cannot express the model: .*bessel_j0.*Write it in"):
        to_flatbuffer(Bessel(), tiny_windows())
