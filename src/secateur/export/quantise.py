"""An exported graph with 8-bit weights in the backbone; front end, attention and head stay in float."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from secateur.bundle.manifest import QuantisationRecord
from secateur.bundle.session import INPUTS
from secateur.core.errors import ConfigError, ExportError
from secateur.core.files import write_aside
from secateur.export.onnx import BACKBONE_SCOPE, silent

Scheme = Literal["dynamic", "static", "weights"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
Batch = Mapping[str, np.ndarray]

_OPERATORS = ("MatMul", "Gemm")
_UNTYPED = {"DefaultTensorType": onnx.TensorProto.FLOAT}
"""Type inference of ``onnx`` ends at operators of ONNX Runtime's own, such as the attention."""

_WARNING, _ERROR = 2, 3


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """How a graph is brought to 8 bits.

    Weights have one scale for each output channel, symmetric, and 7 of the 8 bits: products of 8-bit
    activations with 8-bit weights overflow the 16-bit sums of x86 processors without VNNI, so that such a
    device would compute something else. Activations are asymmetric.

    Parameters
    ----------
    scheme : {"dynamic", "static", "weights"}
        Whether the range of an activation is taken from each batch as it comes, or fixed beforehand as the
        smallest and largest value over the calibration windows, or activations stay in float.
    calibration : iterable of mapping
        For "static": stacks of windows, as ``Windows.batches`` gives them; run through once.

    Raises
    ------
    ConfigError
        If the scheme is unknown.
    """

    scheme: Scheme = "dynamic"
    calibration: Iterable[Batch] = ()

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise ConfigError(f"quantisation '{self.scheme}'; choose {' or '.join(SCHEMES)}.")


def quantise(
    graph: Path, out: Path, quantisation: Quantisation, *, scope: str = BACKBONE_SCOPE
) -> QuantisationRecord:
    """Write a copy of a float graph whose backbone projections have int8 weights.

    Parameters
    ----------
    graph : Path
        From :func:`secateur.export.onnx.export_onnx`, whose nodes are named after their modules.
    out : Path
        Written aside and renamed; may be ``graph`` itself.
    quantisation : Quantisation
    scope : str
        Path of the module whose projections are quantised.

    Returns
    -------
    QuantisationRecord

    Raises
    ------
    ExportError
        If the graph has no projection of a backbone, ONNX Runtime cannot quantise it, or a static
        quantisation got no calibration windows.
    ConfigError
        If the scheme is "weights", which ONNX Runtime has for int4 alone.

    References
    ----------
    Jacob, Kligys, Chen, Zhu, Tang, Howard, Adam, Kalenichenko, "Quantization and Training of Neural
    Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018.
    """
    if quantisation.scheme == "weights":
        raise ConfigError("quantisation 'weights' is not for int8 in ONNX; choose dynamic or static.")
    reader = _Reader(quantisation.calibration)
    with tempfile.TemporaryDirectory(prefix="secateur.") as place, quiet_runtime():
        quantised = Path(place) / "quantised.onnx"
        model = onnx.load(graph)
        chosen = quantisable_nodes(model.graph, scope=scope)
        if not chosen:
            raise ExportError(
                "the graph has no projection of a backbone to quantise; export the model in float32."
            )
        try:
            if quantisation.scheme == "dynamic":
                # a Gemm becomes a MatMul of that name and an Add
                names = [*chosen, *(f"{name}_MatMul" for name in chosen)]
                quantize_dynamic(
                    model, quantised, nodes_to_quantize=names, extra_options=_UNTYPED, **_weights()
                )
            else:
                quantize_static(
                    model,
                    quantised,
                    reader,
                    quant_format=QuantFormat.QDQ,
                    activation_type=QuantType.QUInt8,
                    calibrate_method=CalibrationMethod.MinMax,
                    nodes_to_quantize=chosen,
                    extra_options={
                        **_UNTYPED,
                        "ActivationSymmetric": False,
                        "OpTypesToExcludeOutputQuantization": list(_OPERATORS),
                    },
                    **_weights(),
                )
        except ExportError:
            raise
        except Exception as error:
            raise ExportError(f"ONNX Runtime cannot quantise the graph: {error}") from error
        model = onnx.load(quantised)
        _leave_out_zero_points(model.graph)
        with write_aside(out) as aside:
            aside.write_bytes(model.SerializeToString())
    return QuantisationRecord(
        scheme=quantisation.scheme,
        calibration_windows=reader.windows,
        tool=f"onnxruntime {onnxruntime.__version__}",
    )


def quantisable_nodes(graph: onnx.GraphProto, *, scope: str = BACKBONE_SCOPE) -> list[str]:
    """Return the names of the backbone's products with a weight matrix, in order.

    Products of two activations (attention) are left out, as is all of front end and head.
    """
    weights = {tensor.name for tensor in graph.initializer}
    return [
        node.name
        for node in graph.node
        if node.op_type in _OPERATORS and node.name.startswith(f"{scope}.") and node.input[1] in weights
    ]


def _leave_out_zero_points(graph: onnx.GraphProto) -> None:
    """Drop zero points of weights that are all zero, which products would subtract all the same."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type != "MatMulInteger" or len(node.input) < 4 or node.input[3] not in stored:
            continue
        if not numpy_helper.to_array(stored[node.input[3]]).any():
            del node.input[3]
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _weights() -> dict[str, object]:
    return {
        "op_types_to_quantize": list(_OPERATORS),
        "per_channel": True,
        "reduce_range": True,
        "weight_type": QuantType.QInt8,
    }


class _Reader(CalibrationDataReader):
    """Calibration windows one batch at a time, counted."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = iter(batches)
        self.windows = 0

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        if batch is None:
            if not self.windows:
                raise ExportError("a static quantisation needs calibration windows; none were given.")
            return None
        self.windows += len(batch["waveform"])
        return {name: np.asarray(batch[name], dtype=np.float32) for name in INPUTS}


@contextmanager
def quiet_runtime() -> Iterator[None]:
    """Keep warnings of ONNX Runtime and of exporters to ourselves."""
    onnxruntime.set_default_logger_severity(_ERROR)
    try:
        with silent():
            yield
    finally:
        onnxruntime.set_default_logger_severity(_WARNING)
