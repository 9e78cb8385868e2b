"""Rewrites of an exported graph that change no result and that ONNX Runtime runs faster."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass

from secateur.export.onnx_attention import pack_attention
from secateur.export.onnx_values import Size, inputs_of, made_by, sizes

_ONE_EACH = {"alpha": 1.0, "beta": 1.0}


def rewrite_for_runtime(model: ir.Model) -> None:
    """Rewrite a graph as the exporter left it, with the shape of each value; in place.

    Parameters
    ----------
    model : onnx_ir.Model
        Free dimensions have the names that the tracer gave them; two of one name are equal.

    Notes
    -----
    What is left out: reshapes to a shape that the tensor has had; the flattening of tokens around a product
    with a bias; the reciprocal in a root-mean-square norm, which keeps ONNX Runtime from seeing the norm;
    and what stands between the projections of queries, keys and values and an attention in one operator.

    ``SkipLayerNormalization`` is not used: on processors it takes several times as long as the addition and
    the norm that it stands for.
    """
    graph = model.graph
    leave_out_reshapes(graph)
    keep_tokens_apart(graph)
    divide_by_norms(graph)
    pack_attention(graph)
    RemoveUnusedNodesPass()(model)
    TopologicalSortPass()(model)


def leave_out_reshapes(graph: ir.Graph) -> None:
    """Take a tensor from before a chain of reshapes that ends in the shape it began with."""
    for node in graph:
        out = node.outputs[0]
        if node.op_type != "Reshape" or out.is_graph_output():
            continue
        source = _before_reshapes(out)
        if source is not None:
            out.replace_all_uses_with(source)


def _before_reshapes(value: ir.Value) -> ir.Value | None:
    """Return the first tensor of a chain of reshapes that has the shape of its last."""
    found, node = None, made_by(value, "Reshape")
    while node is not None:
        source = node.inputs[0]
        if _alike(sizes(source), sizes(value)):
            found = source
        node = made_by(source, "Reshape")
    return found


def keep_tokens_apart(graph: ir.Graph) -> None:
    """Write reshape, product, reshape back as a product of unflattened tokens, its bias as an addition.

    The dynamic quantisation of ONNX Runtime brings product and addition together again.
    """
    for node in list(graph):
        if node.op_type != "Gemm" or not _is_plain(node):
            continue
        rows, matrix, *biases = inputs_of(node)
        before, after = made_by(rows, "Reshape"), _only_user(node.outputs[0])
        if before is None or after is None or after.op_type != "Reshape":
            continue
        source, out = before.inputs[0], after.outputs[0]
        if out.is_graph_output() or not _alike(sizes(source)[:-1], sizes(out)[:-1]):
            continue
        made = [ir.node("MatMul", [source, matrix], name=node.name)]
        for bias in biases:
            made.append(ir.node("Add", [made[0].outputs[0], bias], name=f"{node.name}_bias"))
        for entry in made:
            entry.metadata_props.update(node.metadata_props)
            entry.outputs[0].type, entry.outputs[0].shape = out.type, out.shape
        graph.insert_before(after, made)
        out.replace_all_uses_with(made[-1].outputs[0])


def _is_plain(node: ir.Node) -> bool:
    attributes = node.attributes
    return all(attributes.get_float(name, one) == one for name, one in _ONE_EACH.items()) and not any(
        attributes.get_int(name, 0) for name in ("transA", "transB")
    )


def _only_user(value: ir.Value) -> ir.Node | None:
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def _alike(one: tuple[Size, ...], other: tuple[Size, ...]) -> bool:
    return len(one) > 0 and one == other and None not in one


def divide_by_norms(graph: ir.Graph) -> None:
    """Write a product with a reciprocal as a division."""
    for node in list(graph):
        if node.op_type != "Mul":
            continue
        for place, value in enumerate(node.inputs):
            inverse = made_by(value, "Reciprocal")
            if inverse is None:
                continue
            division = ir.node("Div", [node.inputs[1 - place], inverse.inputs[0]], name=node.name)
            division.metadata_props.update(node.metadata_props)
            _stand_in(graph, node, division)
            break


def _stand_in(graph: ir.Graph, node: ir.Node, other: ir.Node) -> None:
    """Put a node where another was."""
    former, out = node.outputs[0], other.outputs[0]
    out.type, out.shape = former.type, former.shape
    graph.insert_before(node, other)
    former.replace_all_uses_with(out, replace_graph_outputs=True)
