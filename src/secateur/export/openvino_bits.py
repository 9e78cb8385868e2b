"""Fewer bits for a model of OpenVINO: bfloat16 by rounding, int8 and int4 by NNCF."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from types import ModuleType
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from secateur.bundle.manifest import Precision, QuantisationRecord
from secateur.bundle.openvino_session import import_openvino
from secateur.bundle.session import INPUTS
from secateur.core.errors import ConfigError, ExportError
from secateur.export.onnx import silent
from secateur.export.openvino_ir import other_operations, projections, weight_of
from secateur.export.quantise import Batch, Quantisation, Scheme

INT4_GROUP = 32


def to_bfloat16(model: Any) -> QuantisationRecord:
    """Round the weights of the backbone's projections to bfloat16, in place.

    Parameters
    ----------
    model : openvino.Model

    Raises
    ------
    ExportError
        If it has no projection of a backbone.
    """
    openvino = import_openvino()
    from openvino import opset13

    chosen = _chosen(model)
    for operation in chosen:
        weight = operation.input_value(1).get_node().get_data().astype(bfloat16)
        stored = openvino.Tensor(openvino.Type.bf16, openvino.Shape(weight.shape))
        stored.data[...] = weight.view(stored.data.dtype)
        constant = opset13.constant(stored)
        operation.input(1).replace_source_output(opset13.convert(constant, "f32").output(0))
    return QuantisationRecord(
        scheme="weights",
        calibration_windows=0,
        tool=f"openvino {openvino.__version__}",
        matrices={"bfloat16": len(chosen)},
    )


def to_int8(model: Any, quantisation: Quantisation) -> tuple[Any, QuantisationRecord]:
    """Bring the backbone's projections to 8 bits.

    Parameters
    ----------
    model : openvino.Model
    quantisation : Quantisation
        "weights": symmetric weights with one scale for each output channel; activations stay in float.
        "dynamic": the same weights; the session rounds activations to 8 bits as they come.
        "static": activations too, their ranges fixed over the calibration windows after NNCF has moved
        outliers from activations to weights (SmoothQuant).

    Returns
    -------
    model : openvino.Model
    record : QuantisationRecord

    Raises
    ------
    ConfigError
        If NNCF is not installed.
    ExportError
        If NNCF cannot quantise the model, or calibration windows are missing.

    References
    ----------
    Xiao, Lin, Seznec, Wu, Demouth, Han, "SmoothQuant: Accurate and Efficient Post-Training Quantization for
    Large Language Models", ICML 2023.
    """
    nncf = _nncf()
    chosen = _chosen(model)
    rest = nncf.IgnoredScope(names=other_operations(model, chosen), validate=False)
    if quantisation.scheme != "static":
        mode = nncf.CompressWeightsMode.INT8_SYM
        changed = _run(lambda: nncf.compress_weights(model, mode=mode, ignored_scope=rest))
        return changed, _record(nncf, quantisation.scheme, _weight_bits(changed))
    batches = [_feed(batch) for batch in quantisation.calibration]
    if not batches:
        raise ExportError("a static quantisation needs calibration windows; none were given.")
    changed = _run(
        lambda: nncf.quantize(
            model,
            nncf.Dataset(batches),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(batches),
            ignored_scope=rest,
        )
    )
    windows = sum(len(batch["waveform"]) for batch in batches)
    return changed, _record(nncf, "static", {"int8": len(chosen)}, windows=windows)


def to_int4(model: Any) -> tuple[Any, QuantisationRecord]:
    """Bring the weights of the backbone's projections to 4 bits in groups of 32 inputs.

    A matrix whose number of inputs is no multiple of 32 stays in float32; the record counts them.

    Parameters
    ----------
    model : openvino.Model

    Returns
    -------
    model : openvino.Model
    record : QuantisationRecord

    Raises
    ------
    ConfigError
        If NNCF is not installed.
    ExportError
        If NNCF cannot quantise the model, or no matrix fits.
    """
    nncf = _nncf()
    from nncf.quantization.advanced_parameters import AdvancedCompressionParameters, GroupSizeFallbackMode

    chosen = _chosen(model)
    rest = other_operations(model, chosen)
    fits = [operation for operation in chosen if _inputs(operation) % INT4_GROUP == 0]
    if not fits:
        sizes = ", ".join(str(size) for size in sorted({_inputs(operation) for operation in chosen}))
        raise ExportError(
            f"no matrix of the backbone has inputs that are a multiple of {INT4_GROUP}, as int4 needs "
            f"(found: {sizes}); export in int8, or cut to such widths."
        )
    changed = _run(
        lambda: nncf.compress_weights(
            model,
            mode=nncf.CompressWeightsMode.INT4_SYM,
            group_size=INT4_GROUP,
            all_layers=True,
            ignored_scope=nncf.IgnoredScope(names=rest, validate=False),
            advanced_parameters=AdvancedCompressionParameters(
                group_size_fallback_mode=GroupSizeFallbackMode.IGNORE
            ),
        )
    )
    return changed, _record(nncf, "weights", _weight_bits(changed), group=INT4_GROUP)


_STORED_AS: Mapping[str, Precision] = {
    "i4": "int4",
    "u4": "int4",
    "i8": "int8",
    "u8": "int8",
    "f32": "float32",
}


def _weight_bits(model: Any) -> dict[Precision, int]:
    """Count the backbone's projections by the precision that their weights are stored in."""
    return dict(
        Counter(
            _STORED_AS[weight.get_element_type().get_type_name()]
            for operation in model.get_ordered_ops()
            if (weight := weight_of(operation)) is not None
        )
    )


def _inputs(operation: Any) -> int:
    """Inputs of a projection, whichever way its matrix lies."""
    shape = operation.input_value(1).get_shape()
    return shape[1] if operation.get_attributes()["transpose_b"] else shape[0]


def _chosen(model: Any) -> list[Any]:
    chosen = projections(model)
    if not chosen:
        raise ExportError(
            "the graph has no projection of a backbone to bring to fewer bits; export the model in fp32."
        )
    return chosen


def _feed(batch: Batch) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(batch[name], dtype=np.float32) for name in INPUTS}


def _nncf() -> ModuleType:
    import_openvino()
    try:
        with silent():
            import nncf
    except ImportError as error:
        raise ConfigError(
            f"int8 and int4 for OpenVINO need the package nncf, which cannot be imported ({error}); install "
            "it with: pip install 'secateur[openvino]'."
        ) from None
    return nncf


def _run(work: Callable[[], Any]) -> Any:
    """Let NNCF work without its tables and bars."""
    try:
        with silent(), redirect_stdout(StringIO()):
            return work()
    except Exception as error:  # NNCF's and OpenVINO's error classes share no public base
        raise ExportError(f"NNCF cannot quantise the model: {error}") from error


def _record(
    nncf: ModuleType,
    scheme: Scheme,
    matrices: dict[Precision, int],
    *,
    windows: int = 0,
    group: int | None = None,
) -> QuantisationRecord:
    return QuantisationRecord(
        scheme=scheme,
        calibration_windows=windows,
        tool=f"nncf {nncf.__version__}",
        matrices=matrices,
        group_size=group,
    )
