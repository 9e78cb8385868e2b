"""What one inference of a graph costs: operations and bytes of weights, as ONNX Runtime itself ran it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from secateur.bundle.onnx_options import session_options

INTEGER = ("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul", "QGemm")
FLOAT = ("MatMul", "FusedMatMul", "Gemm", "FusedGemm")
CONVOLUTION = ("Conv", "FusedConv")
ATTENTION = "GroupQueryAttention"


@dataclass(frozen=True, kw_only=True)
class Operations:
    """Cost of one inference.

    Attributes
    ----------
    float_operations, integer_operations : int
        Of matrix products and convolutions; a multiplication and its addition count as two. What is done
        element by element is left out.
    weight_bytes : int
        Constants that the operators read.
    """

    float_operations: int
    integer_operations: int
    weight_bytes: int


def count_operations(model: Path | bytes, feed: Mapping[str, np.ndarray]) -> Operations:
    """Run a graph once under ONNX Runtime's profiler and count what it did.

    Parameters
    ----------
    model : Path or bytes
        The file, or its content.
    feed : mapping
        All inputs.
    """
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="secateur.") as folder:
        options = session_options(1)
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        # a weight that was packed beforehand has no shape in the profile
        options.add_session_config_entry("session.disable_prepacking", "1")
        session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
        )
        session.run(None, dict(feed))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return operations_of(events)


def operations_of(events: Sequence[Mapping[str, Any]]) -> Operations:
    """Count the operators in the events of a profile."""
    counted = {"float": 0, "integer": 0}
    weight_bytes = 0
    for event in events:
        told = event.get("args", {})
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        weight_bytes += int(told.get("parameter_size", 0))
        operator = told["op_name"]
        if operator in FLOAT or operator in INTEGER:
            counted["float" if operator in FLOAT else "integer"] += _product(told)
        elif operator in CONVOLUTION:
            counted["float"] += 2 * prod(_shapes(told, "output")[0]) * prod(_shapes(told, "input")[1][1:])
        elif operator == ATTENTION:
            mixed, keys, *_ = _shapes(told, "output")
            # scores, then the mixing of values: as many operations each
            counted["float"] += 2 * 2 * prod(mixed) * keys[2]
    return Operations(
        float_operations=counted["float"],
        integer_operations=counted["integer"],
        weight_bytes=weight_bytes,
    )


def _product(told: Mapping[str, Any]) -> int:
    return 2 * prod(_shapes(told, "output")[0]) * _shapes(told, "input")[0][-1]


def _shapes(told: Mapping[str, Any], which: str) -> list[list[int]]:
    return [shape for entry in told[f"{which}_type_shape"] for shape in entry.values()]
