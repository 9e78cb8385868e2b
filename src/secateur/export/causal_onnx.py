"""A causal language model as one ONNX graph that reads a prompt and goes on token by token."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch

from secateur.bundle.causal_manifest import DATA_FILE
from secateur.bundle.causal_session import (
    ATTENTION_MASK,
    INPUT_IDS,
    LOGITS,
    past_names,
    present_names,
)
from secateur.export.causal_cache import Cached, CausalModel
from secateur.export.causal_rounding import arithmetic_in_float32
from secateur.export.onnx import to_onnx

LARGEST_FILE = 2_000_000_000
"""Bytes of weights up to which the graph is one file; protobuf ends at 2 GiB."""

_BATCH, _PAST, _NEW = 2, 3, 4
"""Sizes to trace with; none may be 0 or 1, which the tracer takes for constants, and none alike."""


def export_causal_onnx(causal: CausalModel, path: Path) -> None:
    """Write a causal language model with its cache; batch, new and past tokens are free, past may be 0.

    Inputs are ``input_ids``, ``attention_mask`` and ``past_key_values.{layer}.{key,value}``; outputs are
    ``logits`` and ``present.{layer}.{key,value}``. Layers may have unequal numbers of groups. Weights of more
    than 2 GB lie beside the graph, in ``model.onnx.data``.

    Parameters
    ----------
    causal : CausalModel
    path : Path
        In a folder that is written aside; nothing here renames it.

    Raises
    ------
    ExportError
        If the exporter cannot express the model.
    """
    layers = len(causal.bound.layers)
    batch, past = torch.export.Dim("batch"), torch.export.Dim("past")
    new = torch.export.Dim("new", min=1)  # MPT chooses its position biases by this number
    proto = to_onnx(
        Cached(causal.model).eval(),
        (
            torch.ones(_BATCH, _NEW, dtype=torch.int64),
            torch.ones(_BATCH, _PAST + _NEW, dtype=torch.int64),
            causal.empty_past(_BATCH, _PAST),
        ),
        input_names=(INPUT_IDS, ATTENTION_MASK, *past_names(layers)),
        output_names=(LOGITS, *present_names(layers)),
        dynamic_shapes=(
            {0: batch, 1: new},
            {0: batch, 1: torch.export.Dim("total")},
            [{0: batch, 2: past} for _ in range(2 * layers)],
        ),
    )
    arithmetic_in_float32(proto)
    if sum(len(tensor.raw_data) for tensor in proto.graph.initializer) > LARGEST_FILE:
        onnx.save(proto, path, save_as_external_data=True, location=DATA_FILE)
    else:
        path.write_bytes(proto.SerializeToString())


def share_transposed(path: Path) -> None:
    """Store a float matrix that is another's transpose, as a head is of its embedding, only once.

    Optimisers of graphs write both; runtimes compute the second when they load the graph.

    Parameters
    ----------
    path : Path
        A graph in one file, in a folder that is written aside.
    """
    proto = onnx.load(path)
    graph = proto.graph
    shared: list[int] = []
    for index, tensor in enumerate(graph.initializer):
        before = (other for number, other in enumerate(graph.initializer[:index]) if number not in shared)
        twin = next((other for other in before if _is_transpose(tensor, other)), None)
        if twin is not None:
            node = onnx.helper.make_node("Transpose", [twin.name], [tensor.name], perm=[1, 0])
            graph.node.insert(0, node)
            shared.append(index)
    for index in reversed(shared):
        del graph.initializer[index]
    if shared:
        path.write_bytes(proto.SerializeToString())


def _is_transpose(one: onnx.TensorProto, other: onnx.TensorProto) -> bool:
    if {one.data_type, other.data_type} != {onnx.TensorProto.FLOAT}:
        return False
    if len(one.dims) != 2 or list(one.dims) != list(other.dims)[::-1]:
        return False
    first, second = (onnx.numpy_helper.to_array(tensor) for tensor in (one, other))
    return min(first.shape) > 1 and np.array_equal(first, second.T)
