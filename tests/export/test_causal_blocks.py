"""Weights of a causal graph in blocks: what the graph computes is what its rounded matrices say."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from ml_dtypes import bfloat16
from onnx import TensorProto, helper, numpy_helper

from secateur.core.errors import ConfigError, ExportError
from secateur.export.causal_bfloat16 import matrices_in_bfloat16
from secateur.export.causal_blocks import WeightBlocks, weights_in_blocks
from secateur.export.causal_cache import CausalScopes
from secateur.export.causal_quantise import quantise_causal

SCOPES = CausalScopes(layers="causal.layers", embedding="causal.table", head="causal.head")
VOCABULARY, HIDDEN, CHANNELS = 50, 64, 48
TOKENS = np.array([[3, 0, 49, 7]])


def write_graph(path, *, tied=True, hidden=HIDDEN):
    """Embedding, a product, a product with a bias on transposed weights, head; nothing else."""
    draw = np.random.default_rng(0)

    def matrix(*shape):
        return draw.standard_normal(shape).astype(np.float32)

    arrays = {
        "table": matrix(VOCABULARY, hidden),
        "up": matrix(hidden, CHANNELS) / 8,
        "down": matrix(hidden, CHANNELS) / 8,
        "bias": matrix(hidden),
    }
    if not tied:
        arrays["own"] = matrix(hidden, VOCABULARY)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"], name="causal.table/node_embedding"),
        helper.make_node("Reshape", ["rows", "flat"], ["x"], name="causal/node_view"),
        helper.make_node("MatMul", ["x", "up"], ["h"], name="causal.layers.0.up/node_matmul"),
        helper.make_node("Gemm", ["h", "down", "bias"], ["y"], name="causal.layers.0.down/node_g", transB=1),
    ]
    head = "own"
    if tied:
        nodes.append(helper.make_node("Transpose", ["table"], ["turned"], name="causal.head/t", perm=[1, 0]))
        head = "turned"
    nodes.append(helper.make_node("MatMul", ["y", head], ["logits"], name="causal.head/node_linear"))
    stored = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    stored.append(numpy_helper.from_array(np.array([-1, hidden]), "flat"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, None])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, VOCABULARY])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)
    return arrays


def logits(path):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"input_ids": TOKENS})[0]


def expected(arrays):
    hidden = arrays["table"][TOKENS[0]] @ arrays["up"]
    hidden = hidden @ arrays["down"].T + arrays["bias"]
    return hidden @ arrays.get("own", arrays["table"].T)


def in_blocks(matrix, *, bits, size):
    """Rows rounded block by block, the largest entry of a block at the end of the range."""
    rows, width = matrix.shape
    padded = np.pad(matrix, ((0, 0), (0, -width % size))).reshape(rows, -1, size)
    largest = np.take_along_axis(padded, np.abs(padded).argmax(-1)[..., None], -1)
    scale = largest / -(2 ** (bits - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(scale == 0, 0, padded / scale)
    rounded = np.clip(np.round(steps), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * scale
    return rounded.reshape(rows, -1)[:, :width].astype(np.float32)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize(("bits", "head_bits", "size"), [(8, 8, 32), (4, 8, 16), (4, 4, 64), (8, None, 32)])
def test_the_graph_computes_with_its_rounded_matrices(tmp_path, tied, bits, head_bits, size):
    path = tmp_path / "g.onnx"
    arrays = write_graph(path, tied=tied)
    blocks = WeightBlocks(bits=bits, size=size, head_bits=head_bits, accuracy_level=1)
    record = weights_in_blocks(path, blocks, SCOPES)
    rounded = {
        **arrays,
        "up": in_blocks(arrays["up"].T, bits=bits, size=size).T,
        "down": in_blocks(arrays["down"], bits=bits, size=size),
    }
    if head_bits is not None:
        rounded["table"] = in_blocks(arrays["table"], bits=head_bits, size=size)
        if not tied:
            rounded["own"] = in_blocks(arrays["own"].T, bits=head_bits, size=size).T
    np.testing.assert_allclose(logits(path), expected(rounded), rtol=1e-3, atol=0.02)
    assert sum(record.matrices.values()) == (2 if head_bits is None else 4)
    assert record.group_size == size


def test_a_tied_table_is_stored_once(tmp_path):
    path = tmp_path / "g.onnx"
    write_graph(path)
    weights_in_blocks(path, WeightBlocks(bits=8), SCOPES)
    stored = {tensor.name: list(tensor.dims) for tensor in onnx.load(path).graph.initializer}
    assert {name: dims for name, dims in stored.items() if VOCABULARY in dims} == {
        "table_int8_blocks": [VOCABULARY, 2, 32],
        "table_int8_scales": [VOCABULARY, 2],
    }
    assert "bias" in stored
    assert "up" not in stored


def test_rounded_activations_stay_close(tmp_path):
    path = tmp_path / "g.onnx"
    arrays = write_graph(path)
    weights_in_blocks(path, WeightBlocks(bits=8, accuracy_level=4), SCOPES)
    size = np.abs(expected(arrays)).max()
    assert 1e-4 * size < np.abs(logits(path) - expected(arrays)).max() < 0.03 * size


def test_zero_points_help_where_weights_lie_on_one_side(tmp_path):
    errors = {}
    for symmetric in (True, False):
        path = tmp_path / f"{symmetric}.onnx"
        arrays = write_graph(path)
        proto = onnx.load(path)
        for tensor in proto.graph.initializer:
            if tensor.name in ("up", "down"):
                arrays[tensor.name] = np.abs(arrays[tensor.name]) + 0.1
                tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
        onnx.save(proto, path)
        blocks = WeightBlocks(bits=4, head_bits=None, symmetric=symmetric, accuracy_level=1)
        weights_in_blocks(path, blocks, SCOPES)
        errors[symmetric] = np.abs(logits(path) - expected(arrays)).mean()
    assert errors[False] < 0.75 * errors[True]


def test_a_table_whose_rows_fill_no_block_stays_in_float(tmp_path):
    path = tmp_path / "g.onnx"
    arrays = write_graph(path, hidden=40)
    record = weights_in_blocks(path, WeightBlocks(bits=8), SCOPES)
    assert record.matrices == {"int8": 2}
    assert [VOCABULARY, 40] in [list(tensor.dims) for tensor in onnx.load(path).graph.initializer]
    size = np.abs(expected(arrays)).max()
    assert np.abs(logits(path) - expected(arrays)).max() < 0.05 * size


def test_bfloat16_rounds_every_matrix_and_no_vector(tmp_path):
    path = tmp_path / "g.onnx"
    arrays = write_graph(path)
    before = path.stat().st_size
    record = matrices_in_bfloat16(path)
    assert record.matrices == {"bfloat16": 3}
    assert path.stat().st_size < 0.6 * before
    rounded = {
        name: array if array.ndim == 1 else array.astype(bfloat16).astype(np.float32)
        for name, array in arrays.items()
    }
    np.testing.assert_allclose(logits(path), expected(rounded), rtol=1e-5, atol=1e-4)


def test_wrong_use_is_refused(tmp_path):
    path = tmp_path / "g.onnx"
    write_graph(path)
    with pytest.raises(ConfigError, match="blocks of 48 weights; give a power of two"):
        WeightBlocks(bits=8, size=48)
    elsewhere = CausalScopes(layers="model.other", embedding="causal.table", head="causal.head")
    with pytest.raises(ExportError, match="no projection of a layer to quantise"):
        weights_in_blocks(path, WeightBlocks(bits=8), elsewhere)
    with pytest.raises(ConfigError, match="'dynamic' was given for int4"):
        quantise_causal(path, "int4", SCOPES, scheme="dynamic")
