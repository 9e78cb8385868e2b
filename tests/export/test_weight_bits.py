"""ONNX graphs that store weights in bfloat16 or 4 bits: what is stored, and what ONNX Runtime makes of it."""

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from secateur.bundle.manifest import read_manifest
from secateur.core.errors import ExportError
from secateur.edge import Runtime
from secateur.export.onnx import frozen_copy
from secateur.export.parity import Tolerance, reference_logits
from secateur.export.quantise import quantisable_nodes
from secateur.export.weight_bits import weights_to_bfloat16, weights_to_int4
from tiny_bundles import write_tiny_bundle

BACKBONE_PROJECTIONS = {"gpt2": 4 * 2, "llama": 7 * 2}
LOOSE = Tolerance(logits=2.0, golden=0.1, probability=0.3, agreement=0.6)


def unknown_speed(windows):
    """Windows without speed and orders, as the runtime gives them by default."""
    return {**windows, "shaft_rate_hz": np.zeros(5), "fault_orders": np.zeros((5, 4))}


@pytest.mark.usefixtures("traced_once")
def test_bfloat16_computes_what_the_rounded_checkpoint_computes(diagnoser, windows, tmp_path):
    info = write_tiny_bundle(diagnoser, tmp_path / "bundle", precision="bfloat16")
    manifest = read_manifest(info.folder)
    assert manifest.precision == "bfloat16"
    assert manifest.quantisation.matrices == {"bfloat16": BACKBONE_PROJECTIONS[manifest.family]}
    assert info.graph_bytes < info.float32_graph_bytes
    rounded = frozen_copy(diagnoser)
    for name, parameter in rounded.backbone.named_parameters():
        if parameter.ndim == 2 and "wpe" not in name:
            parameter.copy_(parameter.bfloat16().float())
    logits, _ = Runtime(info.folder).predict(windows["waveform"])
    expected = reference_logits(rounded, unknown_speed(windows))
    np.testing.assert_allclose(logits, expected, atol=2e-5)
    assert np.abs(logits - reference_logits(diagnoser, unknown_speed(windows))).max() > 1e-5


def test_bfloat16_weights_are_the_nearest(bundle, tmp_path):
    out = tmp_path / "bfloat16.onnx"
    weights_to_bfloat16(bundle.folder / "model.onnx", out)
    before = {t.name: t for t in onnx.load(bundle.folder / "model.onnx").graph.initializer}
    narrow = [t for t in onnx.load(out).graph.initializer if t.data_type == TensorProto.BFLOAT16]
    assert len(narrow) == BACKBONE_PROJECTIONS[bundle.manifest.family]
    for tensor in narrow:
        given = numpy_helper.to_array(before[tensor.name.removesuffix("_bfloat16")])
        stored = np.frombuffer(tensor.raw_data, dtype=ml_dtypes.bfloat16).reshape(tensor.dims)
        np.testing.assert_array_equal(stored, given.astype(ml_dtypes.bfloat16))


@pytest.mark.usefixtures("traced_once")
def test_int4_is_in_the_backbone_alone(diagnoser, windows, tmp_path):
    info = write_tiny_bundle(diagnoser, tmp_path / "bundle", precision="int4", tolerance=LOOSE)
    record = info.manifest.quantisation
    assert record.scheme == "dynamic"
    assert record.group_size == 32
    assert record.matrices == {"int4": BACKBONE_PROJECTIONS[info.manifest.family]}
    graph = onnx.load(info.folder / "model.onnx").graph
    packed = [node for node in graph.node if node.op_type == "MatMulNBits"]
    assert len(packed) == BACKBONE_PROJECTIONS[info.manifest.family]
    assert all(node.name.startswith("diagnoser.backbone.") for node in packed)
    assert quantisable_nodes(graph) == []
    assert info.parity.max_abs_diff > 1e-4
    runtime = Runtime(info.folder)
    assert runtime.golden_max_abs_diff < 1e-5
    logits, probabilities = runtime.predict(windows["waveform"])
    assert logits.shape == probabilities.shape == (5, 3)


def test_a_graph_without_backbone_is_refused(tmp_path):
    value = onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Abs", ["x"], ["y"])], "g", [value], [other])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "abs.onnx")
    for narrow in (weights_to_bfloat16, weights_to_int4):
        with pytest.raises(ExportError, match="no projection of a backbone"):
            narrow(tmp_path / "abs.onnx", tmp_path / "out.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["abs.onnx"]
