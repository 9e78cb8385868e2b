"""Projections and rotary positions brought into an attention that is one operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from secateur.export.attention import DOMAIN, OPERATOR

ROTARY_WIDTH = 16
"""ONNX Runtime turns heads whose width is a multiple of this."""

_SWAPPED = [0, 2, 1, 3]


@dataclass(frozen=True, kw_only=True)
class _Rotary:
    """A projection whose heads are turned by the position of their token.

    Attributes
    ----------
    projection : onnx_ir.Value
        Before it is cut into heads, shape (batch, tokens, heads x width).
    angles : tuple of onnx_ir.Value
        Cosine and sine, shape (1, 1, tokens, width), the second half like the first.
    """

    projection: ir.Value
    angles: tuple[ir.Value, ir.Value]


def pack_attention(graph: ir.Graph) -> None:
    """Let each attention take queries, keys and values side by side, as one product gives them.

    Where all three come out of one tensor that was split, it takes that tensor. Where they are products of
    the same tokens with three matrices, these become one. Queries and keys that are turned by their position
    are turned by the operator itself. Whatever looks different stays as it is.
    """
    halves: dict[ir.Value, ir.Value] = {}
    for node in list(graph):
        if (node.domain, node.op_type) == (DOMAIN, OPERATOR):
            _pack(graph, node, halves)


def _pack(graph: ir.Graph, attention: ir.Node, halves: dict[ir.Value, ir.Value]) -> None:
    query, key, value = attention.inputs[:3]
    first, second = _turned(query), _turned(key)
    if first is not None and second is not None:
        if first.angles != second.angles or first.angles[0].shape[-1] % ROTARY_WIDTH:
            return
        query, key = first.projection, second.projection
    packed = _split_source(query, key, value) or _joined(graph, attention, (query, key, value))
    if packed is None:
        return
    rest = list(attention.inputs[5:])
    if query is not attention.inputs[0]:
        for angle in first.angles:
            if angle not in halves:
                halves[angle] = _half(graph, attention, angle)
            rest.append(halves[angle])
        attention.attributes["do_rotary"] = ir.AttrInt64("do_rotary", 1)
    attention.resize_inputs(5 + len(rest))
    for place, entry in enumerate([packed, None, None, None, None, *rest]):
        attention.replace_input_with(place, entry)


def _split_source(*parts: ir.Value) -> ir.Value | None:
    """Return the tensor that three values are, in order, the whole of."""
    node = parts[0].producer()
    if node is None or node.op_type != "Split" or tuple(node.outputs) != parts:
        return None
    rank = len(node.inputs[0].shape)
    return node.inputs[0] if node.attributes.get_int("axis", 0) in (-1, rank - 1) else None


def _joined(graph: ir.Graph, attention: ir.Node, parts: Sequence[ir.Value]) -> ir.Value | None:
    """Return the product of the same tokens with the matrices of all three, side by side."""
    products = [_product(part) for part in parts]
    if None in products:
        return None
    nodes, biases = zip(*products, strict=True)
    tokens = nodes[0].inputs[0]
    if any(node.inputs[0] is not tokens for node in nodes) or len({bias is None for bias in biases}) != 1:
        return None
    name = f"{attention.name}_projections"
    weight = _constant(graph, f"{name}.weight", _side_by_side([node.inputs[1] for node in nodes]))
    product = ir.node("MatMul", [tokens, weight], name=name)
    made = [product]
    if biases[0] is not None:
        bias = _constant(graph, f"{name}.bias", _side_by_side(biases))
        made.append(ir.node("Add", [product.outputs[0], bias], name=f"{name}_bias"))
    for node in made:
        node.metadata_props.update(attention.metadata_props)
        node.outputs[0].type = parts[0].type
        node.outputs[0].shape = ir.Shape([*tuple(tokens.shape)[:-1], weight.shape[-1]])
    graph.insert_before(attention, made)
    return made[-1].outputs[0]


def _product(value: ir.Value) -> tuple[ir.Node, ir.Value | None] | None:
    """Return the product with a constant matrix that a value is, and the constant that is added to it."""
    node, bias = value.producer(), None
    if node is not None and node.op_type == "Add":
        constants = [entry for entry in node.inputs if entry.is_initializer()]
        others = [entry for entry in node.inputs if not entry.is_initializer()]
        if len(constants) != 1 or len(constants[0].shape) != 1:
            return None
        node, bias = others[0].producer(), constants[0]
    if node is None or node.op_type != "MatMul" or not node.inputs[1].is_initializer():
        return None
    return node, bias


def _side_by_side(values: Sequence[ir.Value]) -> np.ndarray:
    return np.concatenate([value.const_value.numpy() for value in values], axis=-1)


def _constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def _turned(value: ir.Value) -> _Rotary | None:
    """Return what a value is the rotation of; None if it is none.

    References
    ----------
    Su, Ahmed, Lu, Pan, Bo, Liu, "RoFormer: Enhanced transformer with rotary position embedding",
    Neurocomputing 2024; in the form that turns the first half of a head with the second.
    """
    heads = _through(_through(value, "Reshape"), "Transpose")
    added = None if heads is None else heads.producer()
    if added is None or added.op_type != "Add":
        return None
    straight, crossed = (entry.producer() for entry in added.inputs)
    if straight is None or crossed is None or {straight.op_type, crossed.op_type} != {"Mul"}:
        return None
    plain, cosine = straight.inputs
    halves, sine = crossed.inputs
    if not _is_half_turn(halves, plain):
        return None
    projection = _through(_through(plain, "Transpose"), "Reshape")
    if projection is None or not (_halves_alike(cosine) and _halves_alike(sine)):
        return None
    return _Rotary(projection=projection, angles=(cosine, sine))


def _through(value: ir.Value | None, kind: str) -> ir.Value | None:
    """Return what a reshape, or an exchange of heads and tokens, was made of."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != kind:
        return None
    if kind == "Transpose" and list(node.attributes.get_ints("perm", ())) != _SWAPPED:
        return None
    return node.inputs[0]


def _is_half_turn(value: ir.Value, plain: ir.Value) -> bool:
    """Whether a value is the second half of another, negated, and then its first half."""
    node = value.producer()
    if node is None or node.op_type != "Concat" or len(node.inputs) != 2:
        return False
    negated = node.inputs[0].producer()
    if negated is None or negated.op_type != "Neg":
        return False
    width = plain.shape[-1]
    return (
        node.attributes.get_int("axis", 0) in (-1, 3)
        and _sliced(node.inputs[1], plain) == (0, width // 2)
        and _sliced(negated.inputs[0], plain) == (width // 2, width)
    )


def _sliced(value: ir.Value, source: ir.Value) -> tuple[int, int] | None:
    """Return where a slice of the last axis of a source begins and ends."""
    node = value.producer()
    if node is None or node.op_type != "Slice" or node.inputs[0] is not source:
        return None
    numbers = [None if entry.const_value is None else entry.const_value.numpy() for entry in node.inputs[1:]]
    if any(entry is None or entry.size != 1 for entry in numbers) or len(numbers) < 3:
        return None
    start, end, axis, *step = (int(entry.item()) for entry in numbers)
    if axis not in (-1, 3) or step not in ([], [1]):
        return None
    return start, min(end, source.shape[-1])


def _halves_alike(angles: ir.Value) -> bool:
    """Whether a tensor is of shape (1, 1, tokens, width), for all heads, and its halves are alike."""
    if angles.shape is None or len(angles.shape) != 4 or tuple(angles.shape)[:2] != (1, 1):
        return False
    if angles.const_value is not None:
        return bool(np.array_equal(*np.split(angles.const_value.numpy(), 2, axis=-1)))
    node = angles.producer()
    while node is not None and node.op_type in ("Unsqueeze", "Cos", "Sin"):
        node = node.inputs[0].producer()
    return (
        node is not None
        and node.op_type == "Concat"
        and len(node.inputs) == 2
        and node.inputs[0] is node.inputs[1]
        and node.attributes.get_int("axis", 0) in (-1, len(node.outputs[0].shape) - 1)
    )


def _half(graph: ir.Graph, attention: ir.Node, angles: ir.Value) -> ir.Value:
    """Return the first half of angles, shape (tokens, width / 2)."""
    width = angles.shape[-1] // 2
    if angles.const_value is not None:
        return _constant(graph, f"{angles.name}_half", angles.const_value.numpy()[0, 0, :, :width].copy())
    ends = [
        _constant(graph, f"{angles.name}_{name}", np.array(value))
        for name, value in (("start", [0]), ("end", [width]), ("axis", [3]), ("rows", [-1, width]))
    ]
    sliced = ir.node("Slice", [angles, *ends[:3]], name=f"{angles.name}_slice")
    rows = ir.node("Reshape", [sliced.outputs[0], ends[3]], name=f"{angles.name}_rows")
    for node in (sliced, rows):
        node.metadata_props.update(attention.metadata_props)
        node.outputs[0].type = angles.type
    graph.insert_before(attention, [sliced, rows])
    return rows.outputs[0]
