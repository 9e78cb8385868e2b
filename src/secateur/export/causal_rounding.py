"""Arithmetic in bfloat16 inside a float graph, which ONNX Runtime does not have on processors."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import GraphProto, NodeProto, TensorProto, helper

_ARITHMETIC = ("Add", "Sub", "Mul", "Div")
_SAME_NUMBERS = ("Concat", "Expand", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")


def arithmetic_in_float32(proto: onnx.ModelProto) -> int:
    """Compute sums and products of bfloat16 numbers in float32, and round each result to bfloat16.

    That is what torch does, so the numbers are the same. Falcon computes its position biases so, whatever the
    precision of its weights.

    Parameters
    ----------
    proto : ModelProto
        Changed.

    Returns
    -------
    int
        Operations that were changed.
    """
    graph, changed = proto.graph, 0
    narrow = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.BFLOAT16}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "Cast":
            to = next(attribute.i for attribute in node.attribute if attribute.name == "to")
            narrow |= set(node.output) if to == TensorProto.BFLOAT16 else set()
        elif node.op_type in _ARITHMETIC and set(node.input) & narrow:
            narrow |= set(node.output)
            nodes += _widened(node)
            changed += 1
            continue
        elif node.op_type in _SAME_NUMBERS and node.input[0] in narrow:
            narrow |= set(node.output)
        nodes.append(node)
    if changed:
        _replace(graph, nodes)
    return changed


def _widened(node: NodeProto) -> list[NodeProto]:
    wide = [f"{node.name}/float32/{index}" for index in range(len(node.input))]
    result = f"{node.name}/float32"
    return [
        *(
            helper.make_node("Cast", [name], [to], name=f"{to}/widen", to=TensorProto.FLOAT)
            for name, to in zip(node.input, wide, strict=True)
        ),
        helper.make_node(node.op_type, wide, [result], name=node.name),
        helper.make_node(
            "Cast", [result], list(node.output), name=f"{result}/round", to=TensorProto.BFLOAT16
        ),
    ]


def _replace(graph: GraphProto, nodes: Iterable[NodeProto]) -> None:
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)
