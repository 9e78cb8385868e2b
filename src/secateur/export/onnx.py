"""A diagnoser as one ONNX file that takes raw windows."""

from __future__ import annotations

import ast
import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import onnx_ir as ir
import torch
from torch import Tensor, nn

from secateur.bundle.session import INPUTS, OUTPUTS
from secateur.core.errors import ExportError
from secateur.core.files import write_aside
from secateur.export.attention import attention_in_one
from secateur.export.onnx_rewrites import rewrite_for_runtime
from secateur.models.diagnoser import Diagnoser

BACKBONE_SCOPE, FRONT_END_SCOPE = "diagnoser.backbone", "diagnoser.front_end"
"""Paths of backbone and front end inside :class:`Deployed`."""

_SCOPES = "pkg.torch.onnx.name_scopes"

Model = TypeVar("Model", bound=nn.Module)


class Deployed(nn.Module):
    """A diagnoser that also gives probabilities, as a device wants them.

    Parameters
    ----------
    diagnoser : torch.nn.Module
        ``forward(waveform, shaft_rate_hz, fault_orders) -> logits``.
    """

    def __init__(self, diagnoser: nn.Module) -> None:
        super().__init__()
        self.diagnoser = diagnoser

    def forward(self, waveform: Tensor, shaft_rate_hz: Tensor, fault_orders: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and probabilities, both of shape (batch, classes)."""
        logits = self.diagnoser(waveform, shaft_rate_hz, fault_orders)
        return logits, logits.softmax(dim=-1)


def frozen_copy(model: Model) -> Model:
    """Return a copy in evaluation mode, in float32, on the CPU; the model itself is left as it is."""
    return copy.deepcopy(model).to(device="cpu", dtype=torch.float32).eval().requires_grad_(False)


def export_onnx(model: nn.Module, windows: Mapping[str, np.ndarray], path: Path) -> None:
    """Write a diagnoser as a single ONNX file with a dynamic batch, in operators of the standard alone.

    Weights lie inside the file. Names of source files and call stacks, which the exporter attaches to
    every node, are removed: they are the exporting machine's own business and a third of a small file.
    What stays is the module that a node computes, as the first part of its name:
    ``diagnoser.backbone.h.0.mlp.c_fc/node_addmm``.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode, on the CPU, in float32 (:func:`frozen_copy`).
    windows : mapping
        At least one real window to trace with: ``waveform`` (n, length), ``shaft_rate_hz`` (n,),
        ``fault_orders`` (n, 4).
    path : Path
        Written aside and renamed.

    Raises
    ------
    ExportError
        If the exporter cannot express the model.
    """
    _write(_trace(model, windows), path)


def export_for_onnxruntime(model: Diagnoser, windows: Mapping[str, np.ndarray], path: Path) -> None:
    """Write a diagnoser as :func:`export_onnx` does, in the form that ONNX Runtime runs fastest.

    It computes the same. Attention is one operator of ONNX Runtime's own (``GroupQueryAttention``, in domain
    ``com.microsoft``), which other engines may not know.

    Parameters
    ----------
    model : Diagnoser
        As for :func:`export_onnx`; left as it is.
    windows, path
        As for :func:`export_onnx`.

    Raises
    ------
    ExportError
        If the exporter cannot express the model.
    """
    with attention_in_one(model.backbone):
        proto = _trace(model, windows, rewrite=rewrite_for_runtime)
    _write(proto, path)


def _trace(model: nn.Module, windows: Mapping[str, np.ndarray], **more: Any) -> onnx.ModelProto:
    batch = torch.export.Dim("batch")
    # a traced batch of 1 would be taken for a constant
    pair = {name: np.resize(windows[name], (2, *windows[name].shape[1:])) for name in INPUTS}
    return to_onnx(
        Deployed(model).eval(),
        tuple(torch.as_tensor(pair[name], dtype=torch.float32) for name in INPUTS),
        input_names=INPUTS,
        output_names=OUTPUTS,
        dynamic_shapes=({0: batch}, {0: batch}, {0: batch}),
        **more,
    )


def _write(proto: onnx.ModelProto, path: Path) -> None:
    with write_aside(path) as aside:
        aside.write_bytes(proto.SerializeToString())


def to_onnx(
    module: nn.Module,
    arguments: tuple[Any, ...],
    *,
    input_names: Sequence[str],
    output_names: Sequence[str],
    dynamic_shapes: Any,
    rewrite: Callable[[ir.Model], None] | None = None,
) -> onnx.ModelProto:
    """Return a module as an ONNX graph without traces of the exporting machine; see :func:`export_onnx`.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode, on the CPU, in float32.
    arguments : tuple
        What to trace with, as ``torch.onnx.export`` takes it.
    input_names, output_names : sequence of str
        One a tensor.
    dynamic_shapes : object
        Which dimensions are free, as ``torch.export`` takes it.
    rewrite : callable, optional
        What to do with the graph while it still holds the shape of each value.

    Raises
    ------
    ExportError
        If the exporter cannot express the module.
    """
    try:
        with silent(), torch.no_grad():
            program = torch.onnx.export(
                module,
                arguments,
                dynamo=True,
                input_names=list(input_names),
                output_names=list(output_names),
                dynamic_shapes=dynamic_shapes,
                verbose=False,
            )
    except Exception as error:  # the exporter raises many private classes
        raise ExportError(
            f"the model cannot be written as ONNX: {_root_cause(error)} "
            "Keep to operations that torch.onnx can express."
        ) from error
    assert program is not None, "an export by torch.export gives a program"
    if rewrite is not None:
        with silent():
            rewrite(program.model)
    proto = program.model_proto
    _remove_traces(proto)
    return proto


def _remove_traces(proto: onnx.ModelProto) -> None:
    for graph in (proto.graph, *proto.functions):
        for node in graph.node:
            if module := _module_of(node):
                node.name = f"{module}/{node.name}"
            del node.metadata_props[:]
            node.doc_string = ""
        del graph.value_info[:]
        del graph.metadata_props[:]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    del proto.metadata_props[:]


def _module_of(node: onnx.NodeProto) -> str:
    """Return the path of the innermost module that a node belongs to, or "" for none."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "[]")
    return next(iter(ast.literal_eval(scopes)[-2:-1]), "")


def _root_cause(error: Exception) -> str:
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    lines = [line.strip() for line in str(root).splitlines() if line.strip()]
    told = lines[:2] if lines and lines[0].endswith(":") else lines[:1]
    return " ".join(told) or type(root).__name__


@contextmanager
def silent() -> Iterator[None]:
    """Keep warnings, the logging of exporters and the graphs that they print to ourselves."""
    former = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(former)
