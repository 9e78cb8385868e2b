"""A diagnoser as a graph that ExecuTorch's kernels can run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule
from transformers.pytorch_utils import Conv1D

from secateur.bundle.session import INPUTS
from secateur.core.errors import ExportError
from secateur.export.onnx import BACKBONE_SCOPE, Deployed, frozen_copy, silent


def deployed(model: nn.Module) -> Deployed:
    """Return a copy of a diagnoser in the layers that XNNPACK knows.

    GPT-2's ``Conv1D`` becomes ``Linear`` with the same numbers: the quantiser finds linear layers alone.
    Buffers that are no part of a checkpoint become part of the program, as ExecuTorch asks.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode, on the CPU, in float32; left as it is.
    """
    copied = Deployed(frozen_copy(model)).eval()
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, Conv1D):
                setattr(module, name, _as_linear(child))
        for name, buffer in list(module.named_buffers(recurse=False)):
            module.register_buffer(name, buffer, persistent=True)
    return copied


def one_window(windows: Mapping[str, np.ndarray], row: int = 0) -> tuple[Tensor, ...]:
    """Return one window as the program takes it: three tensors with a batch of 1."""
    return tuple(torch.as_tensor(windows[name][row : row + 1], dtype=torch.float32) for name in INPUTS)


def traced(module: nn.Module, window: tuple[Tensor, ...]) -> ExportedProgram:
    """Trace a module on one window and write what ExecuTorch lacks in other words.

    Parameters
    ----------
    module : torch.nn.Module
        From :func:`deployed`, or that quantised.
    window : tuple of Tensor
        From :func:`one_window`.

    Raises
    ------
    ExportError
        If torch cannot trace it.
    """
    try:
        with silent(), torch.no_grad():
            program = torch.export.export(module, window)
    except Exception as error:  # torch.export raises many private classes
        raise ExportError(
            f"the model cannot be traced for ExecuTorch: {_first_line(error)} Keep to operations that "
            "torch.export can express."
        ) from error
    _sort_by_topk(program)
    return program


def projections(module: nn.Module) -> list[str]:
    """Return the names of the backbone's linear layers, in order; front end and head are left out."""
    return [
        name
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and name.startswith(f"{BACKBONE_SCOPE}.")
    ]


def _as_linear(layer: Conv1D) -> nn.Linear:
    """``Conv1D`` holds its matrix as (inputs, outputs)."""
    inputs, outputs = layer.weight.shape
    linear = nn.Linear(inputs, outputs)
    linear.weight = nn.Parameter(layer.weight.detach().T.contiguous(), requires_grad=False)
    linear.bias = nn.Parameter(layer.bias.detach().clone(), requires_grad=False)
    return linear


def _sort_by_topk(program: ExportedProgram) -> None:
    """Write a sort as the largest (or smallest) values, all of them, in order: ExecuTorch has no sort."""
    for graph in program.graph_module.modules():
        if not isinstance(graph, GraphModule):
            continue
        for node in graph.graph.nodes:
            if node.target is torch.ops.aten.sort.default:
                (values,) = node.all_input_nodes
                given = node.args[1:]
                dim, descending = given + (-1, False)[len(given) :]
                node.target = torch.ops.aten.topk.default
                node.args = (values, values.meta["val"].shape[dim], dim, descending, True)
        graph.recompile()


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
