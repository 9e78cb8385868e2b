"""The smallest ONNX graph there is to multiply with, written byte by byte.

The package ``onnx`` is not installed on a device, and the rates of a machine are measured in the engine that
its models run in. Field numbers are those of ``onnx.proto``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

IR_VERSION, OPSET = 8, 17
_DATA_TYPES = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int8): 3, np.dtype(np.int32): 6}


def matmul_graph(weights: np.ndarray, *, rows: int) -> bytes:
    """Return a model ``y = x @ weights``.

    Parameters
    ----------
    weights : ndarray of float32 or int8, shape (inner, columns)
        With int8, ``x`` is uint8 and ``y`` int32.
    rows : int
        Rows of ``x``.
    """
    inner, columns = weights.shape
    integer = weights.dtype == np.int8
    taken, given = (np.uint8, np.int32) if integer else (np.float32, np.float32)
    node = _text(1, "x") + _text(1, "w") + _text(2, "y") + _text(4, "MatMulInteger" if integer else "MatMul")
    tensor = (
        b"".join(_number(1, size) for size in weights.shape)
        + _number(2, _DATA_TYPES[weights.dtype])
        + _text(8, "w")
        + _bytes(9, np.ascontiguousarray(weights).tobytes())
    )
    graph = (
        _bytes(1, node)
        + _text(2, "product")
        + _bytes(5, tensor)
        + _bytes(11, _value("x", taken, (rows, inner)))
        + _bytes(12, _value("y", given, (rows, columns)))
    )
    opset = _text(1, "") + _number(2, OPSET)
    return _number(1, IR_VERSION) + _bytes(7, graph) + _bytes(8, opset)


def _value(name: str, dtype: type, shape: Sequence[int]) -> bytes:
    dimensions = b"".join(_bytes(1, _number(1, size)) for size in shape)
    tensor = _number(1, _DATA_TYPES[np.dtype(dtype)]) + _bytes(2, dimensions)
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, content: str) -> bytes:
    return _bytes(field, content.encode())


def _varint(value: int) -> bytes:
    pieces = []
    while value > 0x7F:
        pieces.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*pieces, value])
