"""A diagnoser as OpenVINO's two files, converted from its ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from secateur.bundle.openvino_session import TOKENS, import_openvino
from secateur.core.errors import ExportError
from secateur.export.onnx import BACKBONE_SCOPE, FRONT_END_SCOPE

_UNPACKING = ("Convert", "Multiply", "Subtract", "Reshape")
"""What stands between stored weights and the product that they go into."""


def read_onnx(graph: Path) -> Any:
    """Convert an ONNX graph to a model of OpenVINO, weights in float32.

    The output of the front end is named ``tokens``, so that a session can tell front end and backbone apart.

    Parameters
    ----------
    graph : Path
        From :func:`secateur.export.onnx.export_onnx`, whose nodes are named after their modules.

    Returns
    -------
    openvino.Model

    Raises
    ------
    ConfigError
        If OpenVINO is not installed.
    ExportError
        If OpenVINO cannot express the graph.
    """
    openvino = import_openvino()
    from openvino.frontend.onnx import ConversionExtension

    core = openvino.Core()
    core.add_extension(ConversionExtension("DFT", _real_dft))
    try:
        model = core.read_model(graph)
    except RuntimeError as error:
        raise ExportError(f"OpenVINO cannot convert the graph: {error}") from None
    tokens = [
        output
        for operation in model.get_ordered_ops()
        if _inside(operation, FRONT_END_SCOPE)
        for output in operation.outputs()
        if any(_inside(target.get_node(), BACKBONE_SCOPE) for target in output.get_target_inputs())
    ]
    if len(tokens) == 1:
        tokens[0].get_tensor().add_names({TOKENS})
    return model


def projections(model: Any) -> list[Any]:
    """Return the backbone's products with a weight matrix, in the order in which they are computed.

    Products of two activations (attention) are left out, as is all of front end and head.
    """
    return [operation for operation in model.get_ordered_ops() if weight_of(operation) is not None]


def weight_of(operation: Any) -> Any | None:
    """Return the constant that holds the weights of a projection of the backbone; None for all else."""
    if operation.get_type_name() != "MatMul" or not _inside(operation, f"{BACKBONE_SCOPE}."):
        return None
    return _stored(operation.input_value(1).get_node())


def _stored(node: Any) -> Any | None:
    if node.get_type_name() == "Constant":
        return node
    if node.get_type_name() not in _UNPACKING:
        return None
    roots = [_stored(node.input_value(index).get_node()) for index in range(node.get_input_size())]
    return None if any(root is None for root in roots) else roots[0]


def other_operations(model: Any, chosen: Sequence[Any]) -> list[str]:
    """Return the names of all operations that compute and are not chosen."""
    kept = {operation.get_friendly_name() for operation in chosen}
    passive = ("Constant", "Parameter", "Result")
    names = [
        operation.get_friendly_name()
        for operation in model.get_ordered_ops()
        if operation.get_type_name() not in passive
    ]
    return [name for name in names if name not in kept]


def _inside(operation: Any, scope: str) -> bool:
    return operation.get_friendly_name().startswith(scope)


def _real_dft(node: Any) -> list[Any]:
    """Convert ONNX's DFT of real numbers.

    OpenVINO's own conversion reads the axis from an attribute that DFT lost in opset 20, and takes the
    dimension of length 1 that stands for "real" for a dimension of data.
    """
    from openvino import opset13

    signal, length, axis = (node.get_input(index) for index in range(3))
    if not node.get_attribute("onesided", 0) or node.get_attribute("inverse", 0):
        raise ExportError("a DFT that is not of real numbers cannot be converted for OpenVINO.")
    real = opset13.squeeze(signal, opset13.constant([-1], dtype=np.int64))
    position, points = (int(value.get_node().get_data()) for value in (axis, length))
    axes = opset13.constant([position if position >= 0 else position + 1], dtype=np.int64)
    return opset13.rdft(real, axes, opset13.constant([points], dtype=np.int64)).outputs()
