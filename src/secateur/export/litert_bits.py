"""Eight bits for the backbone of a LiteRT flatbuffer, by AI Edge Quantizer."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import Any

import numpy as np

from secateur.bundle.manifest import QuantisationRecord
from secateur.bundle.session import INPUTS
from secateur.core.errors import ConfigError, ExportError
from secateur.export.litert_graph import INSTALL, SIGNATURE, silent_compiler
from secateur.export.quantise import Quantisation

BITS = 8
BACKBONE = r"_diagnoser/[^;]*_backbone/[^;]*(Conv1D|Linear)_\w+;"
"""Found in the names of a backbone's projections: the converter names each after the modules that it is in.

An attention of one head is written as a projection too, by a matrix that is computed; its name has no layer.
"""

_PROJECTION = "FULLY_CONNECTED"
_TOOL = "ai-edge-quantizer"


def to_int8(content: bytes, quantisation: Quantisation) -> tuple[bytes, QuantisationRecord]:
    """Bring the backbone's projections to 8 bits; front end, attention and head stay in float.

    Weights are symmetric with one scale for each output channel.

    Parameters
    ----------
    content : bytes
        From :func:`secateur.export.litert_graph.to_flatbuffer`.
    quantisation : Quantisation
        "dynamic": the kernels round activations to 8 bits as they come. "weights": the weights are widened
        and all is computed in float. "static": what goes into a projection and comes out of it has 8 bits,
        in ranges that are fixed over the calibration windows.

    Returns
    -------
    content : bytes
    record : QuantisationRecord

    Raises
    ------
    ConfigError
        If the quantiser is not installed.
    ExportError
        If it cannot quantise the model, the model has no projection of a backbone, or calibration windows
        are missing.
    """
    quantizer = _import_quantizer().Quantizer(content)
    windows = list(_one_by_one(quantisation))
    if quantisation.scheme == "static" and not windows:
        raise ExportError("a static quantisation needs calibration windows; none were given.")
    try:
        with silent_compiler():
            quantised = _quantised(quantizer, quantisation, windows)
    except Exception as error:  # the quantiser's error classes share no public base
        raise ExportError(f"AI Edge Quantizer cannot quantise the model: {error}") from error
    found = int8_matrices(quantised)
    if not found:
        raise ExportError(
            "the model has no projection of a backbone to bring to fewer bits; export it in fp32."
        )
    return quantised, QuantisationRecord(
        scheme=quantisation.scheme,
        calibration_windows=len(windows),
        tool=f"{_TOOL} {version(_TOOL)}",
        matrices={"int8": len(found)},
    )


def int8_matrices(content: bytes) -> list[str]:
    """Return the names of the matrices that a flatbuffer stores in 8 bits.

    Parameters
    ----------
    content : bytes
        Of a ``.tflite`` file.
    """
    schema = import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    return [
        tensor.name.decode()
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.type == schema.TensorType.INT8
        and len(tensor.shape) == 2
        and (model.buffers[tensor.buffer].data is not None or model.buffers[tensor.buffer].size)
    ]


def _quantised(quantizer: Any, quantisation: Quantisation, windows: list[dict[str, np.ndarray]]) -> bytes:
    ranges = None
    if quantisation.scheme == "static":
        quantizer.add_static_config(BACKBONE, _PROJECTION, BITS, BITS)
        ranges = quantizer.calibrate({SIGNATURE: windows}, num_threads=1)
    elif quantisation.scheme == "dynamic":
        quantizer.add_dynamic_config(BACKBONE, _PROJECTION, BITS)
    else:
        quantizer.add_weight_only_config(BACKBONE, _PROJECTION, BITS)
    return bytes(quantizer.quantize(ranges, enable_progress_report=False).quantized_model)


def _one_by_one(quantisation: Quantisation) -> Iterator[dict[str, np.ndarray]]:
    for batch in quantisation.calibration:
        feed = {name: np.asarray(batch[name], dtype=np.float32) for name in INPUTS}
        for row in range(len(feed["waveform"])):
            yield {name: array[row : row + 1] for name, array in feed.items()}


def _import_quantizer() -> ModuleType:
    try:
        with silent_compiler():
            return import_module("ai_edge_quantizer.quantizer")
    except ImportError as error:
        raise ConfigError(
            f"int8 for LiteRT needs the package {_TOOL}, which cannot be imported ({error}); {INSTALL}."
        ) from None
