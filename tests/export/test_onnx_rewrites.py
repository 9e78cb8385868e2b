"""Each rewrite on the smallest graph that it is for, and on one that it must leave alone."""

import numpy as np
import onnx_ir as ir
import pytest

from secateur.export.onnx_rewrites import divide_by_norms, keep_tokens_apart, leave_out_reshapes


def value(name, shape, array=None):
    tensor = None if array is None else ir.tensor(array, name=name)
    return ir.Value(
        name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT), const_value=tensor
    )


def node(kind, inputs, shape, **attributes):
    made = ir.node(kind, inputs, attributes, name=kind)
    made.outputs[0].shape = ir.Shape(shape)
    made.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    return made


def graph(inputs, nodes, constants=()):
    last = node("Identity", [nodes[-1].outputs[0]], nodes[-1].outputs[0].shape)
    return ir.Graph(
        inputs, [last.outputs[0]], nodes=[*nodes, last], initializers=list(constants), opset_imports={"": 20}
    )


def kinds(made):
    return [entry.op_type for entry in made]


@pytest.mark.parametrize(
    ("between", "last", "left_out"),
    [
        (["b", "t", 2, 3], ["b", "t", 6], True),
        (["n", 6], ["b", "u", 6], False),
        (["n", 6], ["b", None, 6], False),
    ],
)
def test_a_reshape_to_the_former_shape_is_left_out(between, last, left_out):
    x, sizes = value("x", ["b", "t", 6]), value("sizes", [3], np.array([0, 0, 6]))
    first = node("Reshape", [x, sizes], between)
    second = node("Reshape", [first.outputs[0], sizes], last)
    used = node("Relu", [second.outputs[0]], last)
    leave_out_reshapes(graph([x], [first, second, used], [sizes]))
    assert (used.inputs[0] is x) == left_out


def test_unknown_sizes_are_not_alike():
    x, sizes = value("x", ["b", None]), value("sizes", [2], np.array([0, 0]))
    shaped = node("Reshape", [x, sizes], ["b", None])
    used = node("Relu", [shaped.outputs[0]], ["b", None])
    leave_out_reshapes(graph([x], [shaped, used], [sizes]))
    assert used.inputs[0] is shaped.outputs[0]


@pytest.mark.parametrize(
    ("biased", "tokens", "apart"),
    [(True, "t", True), (False, "t", True), (None, "t", True), (True, "u", False)],
)
def test_a_product_between_reshapes(biased, tokens, apart):
    x, sizes = value("x", ["b", "t", 4]), value("sizes", [2], np.array([-1, 4]))
    weight, bias = value("w", [4, 5], np.zeros((4, 5))), value("c", [5], np.zeros(5))
    flat = node("Reshape", [x, sizes], ["n", 4])
    # an input that may be left out has no place, or an empty one
    added = {True: [bias], False: [], None: [None]}[biased]
    product = node("Gemm", [flat.outputs[0], weight, *added], ["n", 5])
    back = node("Reshape", [product.outputs[0], sizes], ["b", tokens, 5])
    used = node("Relu", [back.outputs[0]], ["b", tokens, 5])
    made = graph([x], [flat, product, back, used], [sizes, weight, bias])
    keep_tokens_apart(made)
    source = used.inputs[0].producer()
    assert source.op_type == ("Reshape" if not apart else "Add" if biased else "MatMul")
    if apart:
        products = [entry for entry in made if entry.op_type == "MatMul"]
        assert [list(entry.inputs) for entry in products] == [[x, weight]]


def test_a_transposed_product_stays():
    x, sizes = value("x", ["b", "t", 4]), value("sizes", [2], np.array([-1, 4]))
    weight = value("w", [5, 4], np.zeros((5, 4)))
    flat = node("Reshape", [x, sizes], ["n", 4])
    product = node("Gemm", [flat.outputs[0], weight], ["n", 5], transB=1)
    back = node("Reshape", [product.outputs[0], sizes], ["b", "t", 5])
    made = graph([x], [flat, product, back], [sizes, weight])
    keep_tokens_apart(made)
    assert "MatMul" not in kinds(made)


@pytest.mark.parametrize("place", [0, 1])
def test_a_product_with_a_reciprocal_is_a_division(place):
    x, root = value("x", ["b", 4]), value("root", ["b", 1])
    inverse = node("Reciprocal", [root], ["b", 1])
    factors = [x, inverse.outputs[0]]
    product = node("Mul", factors if place else factors[::-1], ["b", 4])
    made = graph([x, root], [inverse, product])
    divide_by_norms(made)
    division = made.outputs[0].producer().inputs[0].producer()
    assert division.op_type == "Div"
    assert list(division.inputs) == [x, root]
