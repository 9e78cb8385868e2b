"""Files of a model in each format that a bundle can have, and the precisions that each format knows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from secateur.bundle.executorch_session import PROGRAM_FILE, ExecuTorchSession
from secateur.bundle.litert_session import FLATBUFFER_FILE, LiteRtSession
from secateur.bundle.manifest import MODEL_FILE, Precision, QuantisationRecord
from secateur.bundle.openvino_session import GRAPH_FILE, WEIGHTS_FILE, OpenVinoSession
from secateur.bundle.session import OnnxSession, Session
from secateur.core.errors import ConfigError
from secateur.export.executorch_model import write_executorch
from secateur.export.litert_model import write_litert
from secateur.export.onnx import export_for_onnxruntime, export_onnx
from secateur.export.openvino_model import write_openvino
from secateur.export.quantise import Quantisation, Scheme, quantise
from secateur.export.weight_bits import weights_to_bfloat16, weights_to_int4
from secateur.models.diagnoser import Diagnoser

Format = Literal["onnx", "openvino", "executorch", "litert"]


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """A model as its runtime reads it.

    Attributes
    ----------
    names : tuple of str
        Files in the folder; the runtime opens the first.
    session : Session
        The model, loaded from them.
    float32_bytes : int
        Size of the same files before weights went to fewer bits.
    quantisation : QuantisationRecord or None
    batch : int or str
        Windows that the model takes at once: "batch" for any number. The session takes any number in both
        cases, one part after the other.
    """

    names: tuple[str, ...]
    session: Session
    float32_bytes: int
    quantisation: QuantisationRecord | None
    batch: int | str = "batch"


SCHEMES_OF: Mapping[Format, Mapping[Precision, tuple[Scheme, ...]]] = {
    "onnx": {
        "float32": (),
        "bfloat16": ("weights",),
        "int8": ("dynamic", "static"),
        "int4": ("dynamic",),
    },
    "openvino": {
        "float32": (),
        "bfloat16": ("weights",),
        "int8": ("weights", "dynamic", "static"),
        "int4": ("weights",),
    },
    "executorch": {
        "float32": (),
        "int8": ("dynamic", "static"),
    },
    "litert": {
        "float32": (),
        "int8": ("dynamic", "weights", "static"),
    },
}
"""How weights and activations come to each precision; the first is the default."""


def quantisation_of(format: Format, precision: Precision, given: Quantisation | None) -> Quantisation | None:
    """Return the quantisation that belongs to a precision in a format.

    Parameters
    ----------
    format : {"onnx", "openvino", "executorch", "litert"}
    precision : {"float32", "bfloat16", "int8", "int4"}
    given : Quantisation or None
        None for the default.

    Raises
    ------
    ConfigError
        If the three do not go together.
    """
    if format not in SCHEMES_OF:
        raise ConfigError(f"format '{format}'; a bundle is written as {' or '.join(SCHEMES_OF)}.")
    if precision not in SCHEMES_OF[format]:
        raise ConfigError(
            f"precision '{precision}'; a bundle is written in {' or '.join(SCHEMES_OF[format])}."
        )
    schemes = SCHEMES_OF[format][precision]
    if given is not None and given.scheme not in schemes:
        allowed = f"choose {' or '.join(schemes)}" if schemes else "choose int8, or leave it out"
        raise ConfigError(
            f"a quantisation '{given.scheme}' was given for {precision} in the format {format}; {allowed}."
        )
    return given or (Quantisation(scheme=schemes[0]) if schemes else None)


def write_model(
    model: Diagnoser,
    windows: Mapping[str, np.ndarray],
    folder: Path,
    *,
    format: Format,
    precision: Precision,
    quantisation: Quantisation | None,
) -> ModelFiles:
    """Write a diagnoser in a format and a precision, and load what was written.

    Parameters
    ----------
    model : Diagnoser
        In evaluation mode, on the CPU, in float32.
    windows : mapping
        Real windows to trace with.
    folder : Path
        Where the files go.
    format, precision, quantisation
        As :func:`quantisation_of` has checked them.

    Raises
    ------
    ConfigError
        If a package is missing.
    ExportError
        If the model cannot be expressed, brought to the precision, or loaded.
    """
    return _WRITERS[format](model, windows, folder, precision, quantisation)


def _write_onnx(
    model: Diagnoser,
    windows: Mapping[str, np.ndarray],
    folder: Path,
    precision: Precision,
    quantisation: Quantisation | None,
) -> ModelFiles:
    graph = folder / MODEL_FILE
    export_for_onnxruntime(model, windows, graph)
    float32_bytes = graph.stat().st_size
    record = None
    if precision == "int8":
        assert quantisation is not None, "quantisation_of gives one for int8"
        record = quantise(graph, graph, quantisation)
    elif precision == "int4":
        record = weights_to_int4(graph, graph)
    elif precision == "bfloat16":
        record = weights_to_bfloat16(graph, graph)
    return ModelFiles(
        names=(MODEL_FILE,),
        session=OnnxSession(graph),
        float32_bytes=float32_bytes,
        quantisation=record,
    )


def _write_openvino(
    model: Diagnoser,
    windows: Mapping[str, np.ndarray],
    folder: Path,
    precision: Precision,
    quantisation: Quantisation | None,
) -> ModelFiles:
    with tempfile.TemporaryDirectory(prefix="secateur.") as place:
        graph = Path(place) / MODEL_FILE
        export_onnx(model, windows, graph)
        float32_bytes, record = write_openvino(
            graph, folder / GRAPH_FILE, precision=precision, quantisation=quantisation
        )
    session = OpenVinoSession(
        folder / GRAPH_FILE, precision=precision, scheme=record.scheme if record else None
    )
    return ModelFiles(
        names=(GRAPH_FILE, WEIGHTS_FILE),
        session=session,
        float32_bytes=float32_bytes,
        quantisation=record,
    )


def _write_for_one_window(
    model: Diagnoser,
    windows: Mapping[str, np.ndarray],
    folder: Path,
    _: Precision,
    quantisation: Quantisation | None,
    *,
    name: str,
    write: Callable[..., tuple[int, QuantisationRecord | None]],
    session: Callable[[Path], Session],
) -> ModelFiles:
    float32_bytes, record = write(model, windows, folder / name, quantisation)
    return ModelFiles(
        names=(name,),
        session=session(folder / name),
        float32_bytes=float32_bytes,
        quantisation=record,
        batch=1,
    )


_WRITERS: Mapping[str, Callable[..., ModelFiles]] = {
    "onnx": _write_onnx,
    "openvino": _write_openvino,
    "executorch": partial(
        _write_for_one_window, name=PROGRAM_FILE, write=write_executorch, session=ExecuTorchSession
    ),
    "litert": partial(_write_for_one_window, name=FLATBUFFER_FILE, write=write_litert, session=LiteRtSession),
}
