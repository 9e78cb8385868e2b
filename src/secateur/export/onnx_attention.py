"""Projections and rotary positions brought into an attention that is one operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from secateur.export.attention import DOMAIN, OPERATOR
from secateur.export.onnx_values import inputs_of, made_by, numbers_of, sizes, width_of

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
    width : int
        Of a head.
    """

    projection: ir.Value
    angles: tuple[ir.Value, ir.Value]
    width: int


@dataclass(frozen=True, kw_only=True)
class _Product:
    """A product of tokens with a constant matrix, shape (inputs, outputs), and what is added to it."""

    tokens: ir.Value
    weight: np.ndarray
    bias: np.ndarray | None


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
    if query is None or key is None or value is None:
        return
    rotary, second = _turned(query), _turned(key)
    if rotary is None or second is None:
        rotary = None
    elif rotary.angles != second.angles or rotary.width % ROTARY_WIDTH:
        return
    else:
        query, key = rotary.projection, second.projection
    packed = _split_source(query, key, value) or _joined(graph, attention, (query, key, value))
    if packed is None:
        return
    rest = list(attention.inputs[5:])
    if rotary is not None:
        for angle in rotary.angles:
            if angle not in halves:
                halves[angle] = _half(graph, attention, angle, rotary.width)
            rest.append(halves[angle])
        attention.attributes["do_rotary"] = ir.AttrInt64("do_rotary", 1)
    attention.resize_inputs(5 + len(rest))
    for place, entry in enumerate([packed, None, None, None, None, *rest]):
        attention.replace_input_with(place, entry)


def _split_source(*parts: ir.Value) -> ir.Value | None:
    """Return the tensor that three values are, in order, the whole of."""
    node = made_by(parts[0], "Split")
    if node is None or tuple(node.outputs) != parts:
        return None
    source = node.inputs[0]
    return source if node.attributes.get_int("axis", 0) in (-1, len(sizes(source)) - 1) else None


def _joined(graph: ir.Graph, attention: ir.Node, parts: Sequence[ir.Value]) -> ir.Value | None:
    """Return the product of the same tokens with the matrices of all three, side by side."""
    products = [product for part in parts if (product := _product(part)) is not None]
    biases = [product.bias for product in products if product.bias is not None]
    tokens = {product.tokens for product in products}
    if len(products) != len(parts) or len(tokens) != 1 or len(biases) not in (0, len(parts)):
        return None
    name = f"{attention.name}_projections"
    matrix = np.concatenate([product.weight for product in products], axis=-1)
    given = tokens.pop()
    made = [ir.node("MatMul", [given, _constant(graph, f"{name}.weight", matrix)], name=name)]
    if biases:
        bias = _constant(graph, f"{name}.bias", np.concatenate(biases))
        made.append(ir.node("Add", [made[0].outputs[0], bias], name=f"{name}_bias"))
    for node in made:
        node.metadata_props.update(attention.metadata_props)
        node.outputs[0].type = parts[0].type
        node.outputs[0].shape = ir.Shape([*sizes(given)[:-1], matrix.shape[-1]])
    graph.insert_before(attention, made)
    return made[-1].outputs[0]


def _product(value: ir.Value) -> _Product | None:
    """Return the product with a constant matrix that a value is, and the constant that is added to it."""
    added, bias = made_by(value, "Add"), None
    if added is not None:
        constants = [array for entry in added.inputs if (array := numbers_of(entry)) is not None]
        computed = [entry for entry in added.inputs if numbers_of(entry) is None]
        if len(constants) != 1 or constants[0].ndim != 1 or computed[0] is None:
            return None
        value, bias = computed[0], constants[0]
    node = made_by(value, "MatMul")
    if node is None:
        return None
    tokens, matrix = inputs_of(node)
    weight = numbers_of(matrix)
    return None if weight is None else _Product(tokens=tokens, weight=weight, bias=bias)


def _constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    tensor = ir.tensor(array, name=name)
    value = ir.Value(
        name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def _turned(value: ir.Value) -> _Rotary | None:
    """Return what a value is the rotation of; None if it is none.

    References
    ----------
    Su, Ahmed, Lu, Pan, Bo, Liu, "RoFormer: Enhanced transformer with rotary position embedding",
    Neurocomputing 2024; in the form that turns the first half of a head with the second.
    """
    added = made_by(_through(_through(value, "Reshape"), "Transpose"), "Add")
    if added is None:
        return None
    straight, crossed = (made_by(entry, "Mul") for entry in added.inputs)
    if straight is None or crossed is None:
        return None
    plain, cosine = inputs_of(straight)
    halves, sine = inputs_of(crossed)
    projection, width = _through(_through(plain, "Transpose"), "Reshape"), width_of(plain)
    if projection is None or width is None or not _is_half_turn(halves, plain, width):
        return None
    if not (_halves_alike(cosine, width) and _halves_alike(sine, width)):
        return None
    return _Rotary(projection=projection, angles=(cosine, sine), width=width)


def _through(value: ir.Value | None, kind: str) -> ir.Value | None:
    """Return what a reshape, or an exchange of heads and tokens, was made of."""
    node = made_by(value, kind)
    if node is None or (kind == "Transpose" and list(node.attributes.get_ints("perm", ())) != _SWAPPED):
        return None
    return node.inputs[0]


def _is_half_turn(value: ir.Value, plain: ir.Value, width: int) -> bool:
    """Whether a value is the second half of another, negated, and then its first half."""
    node = made_by(value, "Concat")
    if node is None or len(node.inputs) != 2 or node.attributes.get_int("axis", 0) not in (-1, 3):
        return False
    negated, first = inputs_of(node)
    turned = made_by(negated, "Neg")
    return (
        turned is not None
        and _sliced(first, plain, width) == (0, width // 2)
        and _sliced(turned.inputs[0], plain, width) == (width // 2, width)
    )


def _sliced(value: ir.Value | None, source: ir.Value, width: int) -> tuple[int, int] | None:
    """Return where a slice of the last axis of a source begins and ends."""
    node = made_by(value, "Slice")
    if node is None or node.inputs[0] is not source:
        return None
    numbers = [array for entry in node.inputs[1:] if (array := numbers_of(entry)) is not None]
    if not 3 <= len(numbers) == len(node.inputs) - 1 or any(array.size != 1 for array in numbers):
        return None
    start, end, axis, *step = (int(array.item()) for array in numbers)
    return (start, min(end, width)) if axis in (-1, 3) and step in ([], [1]) else None


def _halves_alike(angles: ir.Value, width: int) -> bool:
    """Whether a tensor is of shape (1, 1, tokens, width), for all heads, and its halves are alike."""
    shape, numbers = sizes(angles), numbers_of(angles)
    if len(shape) != 4 or shape[:2] != (1, 1) or shape[3] != width:
        return False
    if numbers is not None:
        return bool(np.array_equal(numbers[..., : width // 2], numbers[..., width // 2 :]))
    node = angles.producer()
    while node is not None and node.op_type in ("Unsqueeze", "Cos", "Sin"):
        source = node.inputs[0]
        node = None if source is None else source.producer()
    return (
        node is not None
        and node.op_type == "Concat"
        and len(node.inputs) == 2
        and node.inputs[0] is node.inputs[1]
        and node.attributes.get_int("axis", 0) in (-1, len(sizes(node.outputs[0])) - 1)
    )


def _half(graph: ir.Graph, attention: ir.Node, angles: ir.Value, width: int) -> ir.Value:
    """Return the first half of angles of that width, shape (tokens, width / 2)."""
    numbers = numbers_of(angles)
    if numbers is not None:
        return _constant(graph, f"{angles.name}_half", numbers[0, 0, :, : width // 2].copy())
    ends = [
        _constant(graph, f"{angles.name}_{name}", np.array(value))
        for name, value in (("start", [0]), ("end", [width // 2]), ("axis", [3]), ("rows", [-1, width // 2]))
    ]
    sliced = ir.node("Slice", [angles, *ends[:3]], name=f"{angles.name}_slice")
    rows = ir.node("Reshape", [sliced.outputs[0], ends[3]], name=f"{angles.name}_rows")
    for node in (sliced, rows):
        node.metadata_props.update(attention.metadata_props)
        node.outputs[0].type = angles.type
    graph.insert_before(attention, [sliced, rows])
    return rows.outputs[0]
