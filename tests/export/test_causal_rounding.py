"""Products in bfloat16 inside a float graph: torch's own numbers from ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch
from ml_dtypes import bfloat16
from onnx import TensorProto, helper, numpy_helper

from secateur.export.causal_rounding import arithmetic_in_float32

SLOPES = np.array([2**-0.5, 0.3, 1.7], dtype=np.float32)


def graph():
    """Slopes times positions, turned, and one more of the slopes: as position biases are computed."""
    nodes = [
        helper.make_node("Cast", ["positions"], ["narrow"], name="c", to=TensorProto.BFLOAT16),
        helper.make_node("Mul", ["slopes", "narrow"], ["product"], name="m"),
        helper.make_node("Transpose", ["product"], ["turned"], name="t", perm=[1, 0]),
        helper.make_node("Add", ["turned", "row"], ["sum"], name="a"),
        helper.make_node("Cast", ["sum"], ["wide"], name="w", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["wide", "two"], ["out"], name="f"),
    ]
    narrow = SLOPES.astype(bfloat16)
    stored = [
        helper.make_tensor("slopes", TensorProto.BFLOAT16, [3, 1], narrow.tobytes(), raw=True),
        helper.make_tensor("row", TensorProto.BFLOAT16, [3], narrow.tobytes(), raw=True),
        numpy_helper.from_array(np.float32(2), "two"),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("positions", TensorProto.INT64, [None])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None, 3])],
        stored,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_results_are_torchs_to_the_last_bit():
    proto = graph()
    assert arithmetic_in_float32(proto) == 2
    onnx.checker.check_model(proto)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    positions = np.arange(0, 3000, 7)
    slopes = torch.from_numpy(SLOPES).bfloat16()
    expected = (slopes[:, None] * torch.from_numpy(positions)).T + slopes
    found = session.run(None, {"positions": positions})[0]
    np.testing.assert_array_equal(found, 2 * expected.float().numpy())
    assert not np.array_equal(found, 2 * (SLOPES[:, None] * positions).T + 2 * SLOPES)


def test_a_graph_in_float32_stays_as_it_is():
    proto = graph()
    arithmetic_in_float32(proto)
    before = proto.SerializeToString()
    plain = onnx.ModelProto.FromString(before)
    del plain.graph.node[:-1]
    plain.graph.node[0].input[0] = "two"
    assert arithmetic_in_float32(plain) == 0
