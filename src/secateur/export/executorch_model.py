"""A diagnoser as one ``.pte`` file: XNNPACK where it can, ExecuTorch's own kernels for the rest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn
from torch.export import ExportedProgram

from secateur.bundle.executorch_session import import_executorch
from secateur.bundle.manifest import QuantisationRecord
from secateur.core.errors import ConfigError, ExportError
from secateur.core.files import write_aside
from secateur.export.executorch_bits import to_int8
from secateur.export.executorch_graph import deployed, one_window, traced
from secateur.export.onnx import silent
from secateur.export.quantise import Quantisation


def write_executorch(
    model: nn.Module,
    windows: Mapping[str, np.ndarray],
    path: Path,
    quantisation: Quantisation | None,
) -> tuple[int, QuantisationRecord | None]:
    """Write a diagnoser for ExecuTorch: one window in, logits and probabilities out.

    The batch is fixed at 1: memory is planned when the file is written, and a larger batch would take as
    many times the memory on the device.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode, on the CPU, in float32.
    windows : mapping
        At least one real window to trace with.
    path : Path
        The ``.pte`` file; written aside and renamed.
    quantisation : Quantisation or None
        How weights go to 8 bits; None for float32.

    Returns
    -------
    float32_bytes : int
        Size of the file in float32.
    record : QuantisationRecord or None

    Raises
    ------
    ConfigError
        If a package is missing.
    ExportError
        If the model cannot be expressed, quantised, or holds an operator that the runtime lacks.
    """
    import_executorch()
    module, window = deployed(model), one_window(windows)
    content = lowered(traced(module, window))
    float32_bytes, record = len(content), None
    if quantisation is not None:
        quantised, record = to_int8(module, window, quantisation)
        content = lowered(traced(quantised, window))
    with write_aside(path) as aside:
        aside.write_bytes(content)
    return float32_bytes, record


def lowered(program: ExportedProgram) -> bytes:
    """Return the content of the ``.pte`` file of a traced program.

    Raises
    ------
    ConfigError
        If ExecuTorch's exporter cannot be imported.
    ExportError
        If it cannot lower the program, or the runtime has no kernel for an operator; the message names it.
    """
    exir, partitioner = _exporter()
    # checks of names against ATen's core set would refuse the Fourier transform, which the runtime has
    settings = exir.EdgeCompileConfig(_check_ir_validity=False)
    try:
        with silent():
            edge = exir.to_edge_transform_and_lower(
                program, partitioner=[partitioner()], compile_config=settings
            )
            lowered = edge.to_executorch()
    except Exception as error:  # ExecuTorch's error classes share no public base
        raise ExportError(
            f"ExecuTorch cannot express the model: {str(error).strip() or type(error).__name__}. Write the "
            "operation that it names in others, or export to ONNX."
        ) from error
    require_kernels(
        {
            f"{operator.name}.{operator.overload}" if operator.overload else operator.name
            for plan in lowered.executorch_program.execution_plan
            for operator in plan.operators
        }
    )
    return lowered.buffer


def require_kernels(operators: Collection[str]) -> None:
    """Refuse operators for which the runtime of this machine has no kernel.

    Parameters
    ----------
    operators : collection of str
        Such as ``aten::sort.values``.

    Raises
    ------
    ExportError
        Naming them.
    """
    missing = sorted(set(operators) - set(import_executorch()._get_operator_names()))
    if missing:
        raise ExportError(
            f"ExecuTorch's runtime has no kernel for {', '.join(missing)}, which the model uses; write the "
            "operation in others that it has, or export to ONNX or OpenVINO."
        )


def _exporter() -> tuple[Any, Any]:
    try:
        with silent():
            from executorch import exir
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    except ImportError as error:
        raise ConfigError(
            f"an export to ExecuTorch needs the package executorch, which cannot be imported ({error}); "
            "install it with: pip install 'secateur[executorch]'."
        ) from None
    return exir, XnnpackPartitioner
