"""What is read of values in a graph, of those too that an operator leaves out."""

import numpy as np
import onnx_ir as ir

from secateur.export.onnx_values import inputs_of, made_by, numbers_of, sizes, width_of


def test_sizes_are_numbers_names_or_unknown():
    value = ir.Value(name="x", shape=ir.Shape([2, "tokens", None, 8]))
    assert sizes(value) == (2, "tokens", None, 8)
    assert width_of(value) == 8
    assert width_of(ir.Value(name="y", shape=ir.Shape([2, "width"]))) is None


def test_nothing_is_known_of_an_input_that_is_left_out():
    assert sizes(None) == sizes(ir.Value(name="shapeless")) == ()
    assert width_of(None) is None
    assert numbers_of(None) is None
    assert made_by(None, "Add") is None


def test_inputs_that_are_left_out_are_passed_over():
    x, steps = ir.Value(name="x"), ir.Value(name="steps", const_value=ir.tensor(np.array([1])))
    node = ir.node("Slice", [x, None, steps])
    assert inputs_of(node) == [x, steps]
    assert made_by(node.outputs[0], "Slice") is node
    assert made_by(node.outputs[0], "Split") is None
    assert numbers_of(steps) == np.array([1])
    assert numbers_of(x) is None
