"""A flatbuffer for LiteRT, written by hand: logits are a product with a matrix; needs the runtime alone."""

from __future__ import annotations

from importlib import import_module

import numpy as np

INPUTS = ("waveform", "shaft_rate_hz", "fault_orders")


def linear_classifier(weights: np.ndarray, *, inputs: tuple[str, str, str] = INPUTS) -> bytes:
    """``logits = waveform @ weights.T`` and their softmax; the other two inputs are not read."""
    schema = import_module("ai_edge_litert.schema_py_generated")
    classes, length = weights.shape
    shapes = {
        **dict(zip(inputs, ((1, length), (1,), (1, 4)), strict=True)),
        "weights": (classes, length),
        "logits": (1, classes),
        "probabilities": (1, classes),
    }
    at = {name: index for index, name in enumerate(shapes)}
    model, graph, signature = schema.ModelT(), schema.SubGraphT(), schema.SignatureDefT()
    model.version = 3
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(weights.astype(np.float32).tobytes(), dtype=np.uint8)
    graph.tensors = [_tensor(schema, name, shape) for name, shape in shapes.items()]
    graph.inputs = [at[name] for name in inputs]
    graph.outputs = [at["logits"], at["probabilities"]]
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    steps = (
        ("FULLY_CONNECTED", "FullyConnectedOptions", schema.FullyConnectedOptionsT(), [0, at["weights"], -1]),
        ("SOFTMAX", "SoftmaxOptions", softmax, [at["logits"]]),
    )
    model.operatorCodes, graph.operators = [], []
    for index, (builtin, kind, options, reads) in enumerate(steps):
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.version = 1
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, builtin)
        operator.opcodeIndex, operator.inputs, operator.outputs = index, reads, [graph.outputs[index]]
        operator.builtinOptions, operator.builtinOptionsType = options, getattr(schema.BuiltinOptions, kind)
        model.operatorCodes.append(code)
        graph.operators.append(operator)
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs = [_named(schema, name, at[name]) for name in inputs]
    signature.outputs = [_named(schema, name, at[name]) for name in ("logits", "probabilities")]
    model.subgraphs, model.signatureDefs = [graph], [signature]
    builder = import_module("flatbuffers").Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(schema, name, shape):
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name, np.array(shape, np.int32), schema.TensorType.FLOAT32
    tensor.buffer = int(name == "weights")
    return tensor


def _named(schema, name, index):
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
