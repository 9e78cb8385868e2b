"""The two files of a model of OpenVINO, in each precision."""

from __future__ import annotations

import tempfile
from pathlib import Path

from secateur.bundle.manifest import Precision, QuantisationRecord
from secateur.bundle.openvino_session import import_openvino
from secateur.export.openvino_bits import to_bfloat16, to_int4, to_int8
from secateur.export.openvino_ir import read_onnx
from secateur.export.quantise import Quantisation


def write_openvino(
    graph: Path, path: Path, *, precision: Precision, quantisation: Quantisation | None
) -> tuple[int, QuantisationRecord | None]:
    """Convert an ONNX graph, bring it to a precision, and write it.

    Parameters
    ----------
    graph : Path
        From :func:`secateur.export.onnx.export_onnx`.
    path : Path
        The ``.xml`` file; the ``.bin`` file goes beside it.
    precision : {"float32", "bfloat16", "int8", "int4"}
    quantisation : Quantisation or None
        For int8.

    Returns
    -------
    float32_bytes : int
        Size of both files in float32.
    record : QuantisationRecord or None

    Raises
    ------
    ConfigError
        If a package is missing.
    ExportError
        If OpenVINO cannot express the graph, or it cannot be brought to the precision.
    """
    openvino = import_openvino()
    model, record = read_onnx(graph), None
    with tempfile.TemporaryDirectory(prefix="secateur.") as place:
        openvino.save_model(model, Path(place) / path.name, compress_to_fp16=False)
        float32_bytes = sum(file.stat().st_size for file in Path(place).iterdir())
    if precision == "bfloat16":
        record = to_bfloat16(model)
    elif precision == "int8":
        assert quantisation is not None, "quantisation_of gives one for int8"
        model, record = to_int8(model, quantisation)
    elif precision == "int4":
        model, record = to_int4(model)
    # every number as it is: by default float32 would be stored as float16
    openvino.save_model(model, path, compress_to_fp16=False)
    return float32_bytes, record
