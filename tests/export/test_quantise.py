import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from secateur.bundle.manifest import read_manifest
from secateur.bundle.session import OnnxSession
from secateur.bundle.verify import verify_bundle
from secateur.core.errors import ConfigError, ExportError
from secateur.edge import Runtime
from secateur.export.parity import TOLERANCES, Tolerance, reference_logits
from secateur.export.quantise import Quantisation, quantisable_nodes, quantise
from tiny_bundles import tiny_windows, write_tiny_bundle

BACKBONE_PROJECTIONS = {"gpt2": 4 * 2, "llama": 7 * 2}
FLOAT_MODULES = ("diagnoser.patches/", "diagnoser.lines/", "diagnoser.head/")
LOOSE = Tolerance(logits=1.0, golden=0.1, probability=0.05, agreement=0.8)


def quantisation(scheme):
    return Quantisation(scheme=scheme, calibration=[tiny_windows()] if scheme == "static" else ())


@pytest.fixture(scope="session", params=["dynamic", "static"])
def small(request, diagnoser, tmp_path_factory, tracing_once):
    with tracing_once():
        return write_tiny_bundle(
            diagnoser,
            tmp_path_factory.mktemp("int8") / "bundle",
            precision="int8",
            quantise=quantisation(request.param),
            tolerance=LOOSE,
        )


def test_bundle_says_what_it_is_and_runs(small, bundle, diagnoser, windows):
    manifest = read_manifest(small.folder)
    assert manifest.precision == "int8"
    assert manifest.quantisation.scheme in ("dynamic", "static")
    assert manifest.quantisation.calibration_windows == (5 if manifest.quantisation.scheme == "static" else 0)
    assert manifest.quantisation.tool.startswith("onnxruntime ")
    assert manifest.parity.max_probability_change <= manifest.parity.probability_tolerance == 0.05
    assert small.graph_bytes < small.float32_graph_bytes == bundle.graph_bytes
    assert sorted(path.name for path in small.folder.iterdir()) == [
        "golden.npz",
        "manifest.json",
        "model.onnx",
    ]
    assert verify_bundle(small.folder).golden_max_abs_diff < 1e-5
    logits, probabilities = Runtime(small.folder).predict(windows["waveform"])
    assert logits.shape == probabilities.shape == (5, 3)


def test_golden_logits_are_those_of_the_quantised_graph_and_parity_is_with_the_checkpoint(
    small, diagnoser, windows
):
    with np.load(small.folder / "golden.npz", allow_pickle=False) as golden:
        stored = dict(golden)
    logits, _ = OnnxSession(small.folder / "model.onnx").run(stored)
    np.testing.assert_allclose(stored["logits"], logits, atol=1e-6)
    expected = reference_logits(diagnoser, stored)
    difference = np.abs(stored["logits"] - expected).max()
    assert difference > 1e-4
    assert small.parity.max_abs_diff > 1e-4


def test_backbone_weights_are_int8_by_channel_and_the_rest_is_float(small, diagnoser):
    graph = onnx.load(small.folder / "model.onnx").graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    whole = [
        name
        for name, tensor in stored.items()
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 2
    ]
    assert len(whole) == BACKBONE_PROJECTIONS[small.manifest.family]
    for name in whole:
        # 7 bits: a pair of products of 8-bit activations then fits 16 bits
        values = numpy_helper.to_array(stored[name])
        assert 60 <= np.abs(values.astype(int)).max() <= 64
        scale = numpy_helper.to_array(stored[name.removesuffix("_quantized") + "_scale"])
        assert scale.shape == (values.shape[1],)
    assert quantisable_nodes(graph) == []
    for module in FLOAT_MODULES:
        inputs = [
            name
            for node in graph.node
            if node.name.startswith(module) and node.op_type in ("MatMul", "Gemm")
            for name in node.input
        ]
        assert any(name in stored and stored[name].data_type == TensorProto.FLOAT for name in inputs), module
        assert not any("quant" in name.lower() for name in inputs), module


def test_zero_points_of_symmetric_weights_are_left_out(bundle, tmp_path):
    quantise(bundle.folder / "model.onnx", tmp_path / "int8.onnx", Quantisation())
    graph = onnx.load(tmp_path / "int8.onnx").graph
    products = [node for node in graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == BACKBONE_PROJECTIONS[bundle.manifest.family]
    assert all(len(node.input) == 3 for node in products)
    assert not any("weight_zero_point" in tensor.name for tensor in graph.initializer)


def test_only_products_with_a_weight_of_the_backbone_are_chosen(bundle):
    graph = onnx.load(bundle.folder / "model.onnx").graph
    chosen = quantisable_nodes(graph)
    assert len(chosen) == BACKBONE_PROJECTIONS[bundle.manifest.family]
    assert all(name.startswith("diagnoser.backbone.") for name in chosen)
    products = [node.name for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    # patches, lines and head; scores and mixing are inside the attention
    assert len(products) == len(chosen) + 3
    assert [node.op_type for node in graph.node].count("GroupQueryAttention") == 2


@pytest.mark.usefixtures("traced_once")
@pytest.mark.parametrize("scheme", ["dynamic", "static"])
def test_beyond_tolerance_nothing_is_written(bundle, diagnoser, tmp_path, scheme):
    strict = Tolerance(logits=1e-6, golden=0.1)
    with pytest.raises(ExportError, match="differ from the checkpoint"):
        write_tiny_bundle(
            diagnoser,
            tmp_path / "bundle",
            precision="int8",
            quantise=quantisation(scheme),
            tolerance=strict,
        )
    assert list(tmp_path.iterdir()) == []


def test_quantising_is_silent_and_leaves_one_file(bundle, tmp_path, capfd):
    out = tmp_path / "int8.onnx"
    for scheme in ("dynamic", "static"):
        quantise(bundle.folder / "model.onnx", out, quantisation(scheme))
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["int8.onnx"]


def test_static_needs_windows(bundle, tmp_path):
    with pytest.raises(ExportError, match="needs calibration windows"):
        quantise(bundle.folder / "model.onnx", tmp_path / "x.onnx", Quantisation(scheme="static"))
    assert list(tmp_path.iterdir()) == []


def test_a_graph_without_backbone_is_refused(tmp_path):
    value = onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Abs", ["x"], ["y"])], "g", [value], [other])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "abs.onnx")
    with pytest.raises(ExportError, match="no projection of a backbone"):
        quantise(tmp_path / "abs.onnx", tmp_path / "out.onnx", Quantisation())


def test_precision_and_quantisation_must_go_together(diagnoser, tmp_path):
    with pytest.raises(ConfigError, match="float32 or bfloat16 or int8 or int4"):
        write_tiny_bundle(diagnoser, tmp_path / "b", precision="float64")
    with pytest.raises(ConfigError, match=r"dynamic.*float32.*choose int8"):
        write_tiny_bundle(diagnoser, tmp_path / "b", quantise=Quantisation())
    with pytest.raises(ConfigError, match="dynamic or static or weights"):
        Quantisation(scheme="both")
    assert list(tmp_path.iterdir()) == []


def test_int8_is_held_to_probabilities_and_calls():
    assert TOLERANCES["int8"] == Tolerance(logits=1.0, golden=0.1, probability=0.1, agreement=0.99)
    assert TOLERANCES["float32"] == Tolerance(logits=1e-4, golden=1e-4)
