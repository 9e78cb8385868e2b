"""What a value in an ONNX graph is: the node that it comes from, its sizes, its constant numbers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

Size = int | str | None
"""Of a dimension: its number, its name, or None where nothing is known."""


def made_by(value: ir.Value | None, kind: str) -> ir.Node | None:
    """Return the node that a value comes from, if it is of that operator."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == kind else None


def inputs_of(node: ir.Node) -> list[ir.Value]:
    """Return the inputs of a node, without optional ones that it leaves out."""
    return [value for value in node.inputs if value is not None]


def sizes(value: ir.Value | None) -> tuple[Size, ...]:
    """Return the size of each dimension; () where nothing is known."""
    if value is None or value.shape is None:
        return ()
    return tuple(size if isinstance(size, int) else size.value for size in value.shape)


def width_of(value: ir.Value | None) -> int | None:
    """Return the size of the last dimension; None where it is no fixed number."""
    found = sizes(value)
    return found[-1] if found and isinstance(found[-1], int) else None


def numbers_of(value: ir.Value | None) -> np.ndarray | None:
    """Return the numbers of a constant; None for what the graph computes."""
    return None if value is None or value.const_value is None else value.const_value.numpy()
