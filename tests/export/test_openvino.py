"""Diagnosers in OpenVINO: what it computes is what the checkpoint computes, in every precision."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from secateur.bundle.archive import pack
from secateur.bundle.manifest import read_manifest
from secateur.bundle.verify import verify_bundle
from secateur.core.errors import CheckpointError, ConfigError, ExportError
from secateur.edge import Runtime
from secateur.export import formats
from secateur.export.bundle import write_bundle
from secateur.export.onnx import export_onnx
from secateur.export.parity import Tolerance, reference_logits
from secateur.export.quantise import Quantisation

pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")

from secateur.bundle.openvino_session import OpenVinoSession, import_openvino
from secateur.export.openvino_bits import to_int8
from secateur.export.openvino_ir import projections, read_onnx, weight_of


@pytest.fixture(scope="module")
def graph(cut, nano_windows, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(cut.model, nano_windows, path)
    return path


@pytest.fixture
def write(cut, graph, nano_windows, tmp_path, monkeypatch):
    """Write a bundle; the ONNX graph in between is exported once."""
    monkeypatch.setattr(formats, "export_onnx", lambda model, windows, path: shutil.copy(graph, path))

    def written(**settings):
        return write_bundle(
            cut.model,
            nano_windows,
            tmp_path / "bundle",
            name="nano",
            plan=cut.plan,
            format="openvino",
            **settings,
        )

    return written


def has_bfloat16():
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def test_a_bundle_of_unequal_layers_is_equal_to_its_checkpoint(write, cut, nano_windows, tmp_path):
    info = write()
    manifest = read_manifest(info.folder)
    assert manifest.format == "openvino"
    assert manifest.model_file == "model.xml"
    assert set(manifest.files) == {"model.xml", "model.bin", "golden.npz"}
    assert [layer.channels for layer in manifest.layers] == [40, 32]
    assert 0 < manifest.parity.max_abs_diff <= manifest.parity.tolerance == 1e-4
    assert verify_bundle(info.folder).golden_max_abs_diff <= 1e-4
    runtime = Runtime(info.folder)
    assert runtime.golden_max_abs_diff <= 1e-4
    expected = reference_logits(
        cut.model,
        {
            "waveform": nano_windows["waveform"],
            "shaft_rate_hz": np.zeros(5),
            "fault_orders": np.zeros((5, 4)),
        },
    )
    logits, probabilities = runtime.predict(nano_windows["waveform"])
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    np.testing.assert_allclose(probabilities, torch.from_numpy(expected).softmax(-1), atol=1e-5)
    pack(info.folder, tmp_path / "nano.sct")
    packed, _ = Runtime(tmp_path / "nano.sct").predict(nano_windows["waveform"])
    np.testing.assert_array_equal(packed, logits)


@pytest.mark.parametrize("file", ["model.xml", "model.bin"])
def test_a_flipped_byte_is_refused(write, file):
    path = write().folder / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        Runtime(path.parent)


def test_bfloat16_keeps_the_front_end_in_float32(write, cut, nano_windows, graph):
    if not has_bfloat16():
        pytest.skip("this processor does not compute in bfloat16")
    info = write(precision="bfloat16")
    assert info.manifest.quantisation.matrices == {"bfloat16": cut.projections}
    assert info.graph_bytes < info.float32_graph_bytes
    # the whole graph in bfloat16 is an order of magnitude further from the checkpoint
    assert 1e-5 < info.parity.max_abs_diff < 0.05
    assert Runtime(info.folder).golden_max_abs_diff < 1e-6


def test_a_processor_without_bfloat16_is_told(write, monkeypatch):
    if not has_bfloat16():
        with pytest.raises(ExportError, match="does not compute in bfloat16"):
            write(precision="bfloat16")
        return
    folder = write(precision="bfloat16").folder
    openvino = import_openvino()

    class Older(openvino.Core):
        def get_property(self, *names):
            return ["FP32", "INT8"] if "OPTIMIZATION_CAPABILITIES" in names else super().get_property(*names)

    monkeypatch.setattr(openvino, "Core", Older)
    with pytest.raises(ExportError, match=r"does not compute in bfloat16 \(OpenVINO names FP32, INT8\)"):
        Runtime(folder)


LOOSE = Tolerance(logits=1.0, golden=0.05, probability=0.2, agreement=0.6)


@pytest.mark.parametrize("scheme", ["dynamic", "weights", "static"])
def test_int8_is_in_the_backbone_alone(write, cut, graph, nano_windows, scheme):
    pytest.importorskip("nncf")
    calibration = [nano_windows] if scheme == "static" else ()
    info = write(
        precision="int8", quantise=Quantisation(scheme=scheme, calibration=calibration), tolerance=LOOSE
    )
    record = info.manifest.quantisation
    assert record.scheme == scheme
    assert record.calibration_windows == (5 if scheme == "static" else 0)
    assert record.matrices == {"int8": cut.projections}
    assert 1e-4 < info.parity.max_abs_diff < 0.3
    assert Runtime(info.folder).golden_max_abs_diff < 1e-6
    model = import_openvino().Core().read_model(info.folder / "model.xml")
    constants = [o for o in model.get_ops() if o.get_type_name() == "Constant"]
    small = [o for o in constants if o.get_element_type().get_type_name() == "i8"]
    assert len(small) == cut.projections


def test_int8_weights_are_those_of_the_checkpoint_to_half_a_step(graph, cut):
    pytest.importorskip("nncf")
    before = read_onnx(graph)
    matrices = {o.get_friendly_name(): weight_of(o).get_data().copy() for o in projections(before)}
    after, _ = to_int8(before, Quantisation(scheme="weights"))
    for operation in projections(after):
        stored = weight_of(operation)
        scale = operation.input_value(1).get_node().input_value(0).get_node().input_value(1).get_node()
        signed = scale.get_data().astype(np.float32)
        step = np.abs(signed)
        widened = stored.get_data().astype(np.float32) * signed
        given = matrices[operation.get_friendly_name()]
        # scales have 16 bits; the extreme value takes -128, and its opposite is clipped to 127
        steps = np.where(stored.get_data() == 127, 1.0, 0.5)
        assert np.all(np.abs(widened - given) <= steps * step * 1.01 + 127 * step * 2**-10)


def test_int4_leaves_matrices_whose_inputs_are_no_multiple_of_a_group(write, cut):
    pytest.importorskip("nncf")
    info = write(precision="int4", tolerance=replace(LOOSE, logits=3.0, probability=0.9, agreement=0.2))
    record = info.manifest.quantisation
    assert record.group_size == 32
    assert sum(record.matrices.values()) == cut.projections
    assert record.matrices["int4"] >= 2
    assert set(record.matrices) == {"int4", "float32"}
    assert Runtime(info.folder).golden_max_abs_diff < 1e-6


def test_beyond_tolerance_nothing_is_written(write, tmp_path):
    pytest.importorskip("nncf")
    with pytest.raises(ExportError, match="differ from the checkpoint"):
        write(precision="int8", tolerance=Tolerance(logits=1e-6, golden=0.1))
    assert list(tmp_path.iterdir()) == []


def test_static_needs_windows(graph):
    pytest.importorskip("nncf")
    with pytest.raises(ExportError, match="needs calibration windows"):
        to_int8(read_onnx(graph), Quantisation(scheme="static"))


def test_schemes_belong_to_formats():
    with pytest.raises(ConfigError, match="choose dynamic or static"):
        formats.quantisation_of("onnx", "int8", Quantisation(scheme="weights"))
    with pytest.raises(ConfigError, match="onnx or openvino"):
        formats.quantisation_of("coreml", "float32", None)
    assert formats.quantisation_of("openvino", "int8", None).scheme == "weights"


OPENS = """
import json, sys
from secateur.edge import Runtime
Runtime(sys.argv[1])
names = ("torch", "transformers", "onnx", "onnxruntime", "nncf", "openvino_telemetry")
print(json.dumps([name for name in names if sys.modules.get(name) is not None]))
"""


def test_a_device_needs_neither_torch_nor_reports_over_the_network(write):
    answer = subprocess.run(
        [sys.executable, "-c", OPENS, str(write().folder)], capture_output=True, text=True, check=True
    )
    assert json.loads(answer.stdout) == []


def test_a_missing_package_is_named(write, monkeypatch):
    folder = write().folder
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ConfigError, match=r"pip install 'secateur\[openvino\]'"):
        Runtime(folder)


def test_the_session_says_what_it_cannot_load(tmp_path):
    (tmp_path / "model.xml").write_text("<net/>")
    with pytest.raises(ExportError, match=r"OpenVINO cannot load .*model\.xml"):
        OpenVinoSession(tmp_path / "model.xml")
