"""A causal graph whose matrices are stored in bfloat16."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime
from ml_dtypes import bfloat16
from onnx import TensorProto, helper, numpy_helper

from secateur.bundle.manifest import QuantisationRecord

_MATRIX = 2


def matrices_in_bfloat16(graph: Path) -> QuantisationRecord:
    """Store every matrix of a graph in bfloat16, embedding and head too; vectors stay in float32.

    ONNX Runtime has no bfloat16 arithmetic on processors: it widens the matrices to float32 as it loads them.
    The file is smaller; memory and time are those of float32.

    Parameters
    ----------
    graph : Path
        In one file, in a folder that is written aside; replaced.
    """
    proto = onnx.load(graph)
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) != _MATRIX:
            continue
        name, narrow = tensor.name, numpy_helper.to_array(tensor).astype(bfloat16)
        tensor.CopyFrom(
            helper.make_tensor(
                f"{name}_bfloat16", TensorProto.BFLOAT16, narrow.shape, narrow.tobytes(), raw=True
            )
        )
        casts.append(
            helper.make_node("Cast", [tensor.name], [name], name=f"widen/{name}", to=TensorProto.FLOAT)
        )
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    graph.write_bytes(proto.SerializeToString())
    return QuantisationRecord(
        scheme="weights",
        calibration_windows=0,
        tool=f"onnxruntime {onnxruntime.__version__}",
        matrices={"bfloat16": len(casts)},
    )
