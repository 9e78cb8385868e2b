"""Running a model in OpenVINO; the package is imported only where such a bundle is opened."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from secateur.bundle.manifest import Manifest, Precision
from secateur.bundle.session import OUTPUTS, Windows, batch_of
from secateur.bundle.source import BundleSource, file_or_content, read_file
from secateur.core.errors import ConfigError, ExportError

GRAPH_FILE, WEIGHTS_FILE = "model.xml", "model.bin"
TOKENS = "tokens"
"""Name of the tensor that goes from the front end to the backbone."""

_DYNAMIC_GROUP = 32
_TELEMETRY = "openvino_telemetry"


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Content of the two files of a model.

    Attributes
    ----------
    structure, weights : bytes
    """

    structure: bytes
    weights: bytes


def import_openvino() -> ModuleType:
    """Import OpenVINO without its reports over the network.

    ``import openvino`` reports each import to its makers where the package ``openvino_telemetry`` is there,
    as it is by default. A device in a plant must not, so that package is hidden from this process.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise ConfigError(
            f"an OpenVINO bundle needs the package openvino, which cannot be imported ({error}); install it "
            "with: pip install 'secateur[openvino]'. Bundles in ONNX do without."
        ) from None
    return openvino


class OpenVinoSession:
    """A model in OpenVINO's CPU plugin, set for latency and for one precision.

    In bfloat16 only the backbone and the head compute in it. The front end takes logarithms of small powers
    and would lose them; it stays in float32, as a part of its own.

    Parameters
    ----------
    model : Path or Graph
        The ``.xml`` file with its ``.bin`` beside it, or the content of both.
    threads : int
    precision : {"float32", "bfloat16", "int8", "int4"}
        Of the bundle; all but bfloat16 are told to compute in float32 what is not quantised.
    scheme : {"dynamic", "static", "weights"}, optional
        How it was quantised. In "dynamic", activations go to 8 bits in groups of 32 as they come; OpenVINO
        would do so to "weights" too if it were not told.

    Raises
    ------
    ConfigError
        If OpenVINO is not installed.
    ExportError
        If it cannot load the model, or this processor has no bfloat16 and the model needs it.
    """

    def __init__(
        self,
        model: Path | Graph,
        *,
        threads: int = 1,
        precision: Precision = "float32",
        scheme: str | None = None,
    ) -> None:
        openvino = import_openvino()
        core = openvino.Core()
        capabilities = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bfloat16" and "BF16" not in capabilities:
            raise ExportError(
                f"this processor does not compute in bfloat16 (OpenVINO names {', '.join(capabilities)}), "
                "and the bundle needs it; export in fp32 or int8 for this device."
            )
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": _DYNAMIC_GROUP if scheme == "dynamic" else 0,
        }
        try:
            self._front_end = None
            if precision == "bfloat16":
                front_end, rest = _at_tokens(openvino, core, model)
                self._front_end = _request(core, front_end, settings)
                self._rest = _request(core, rest, {**settings, "INFERENCE_PRECISION_HINT": "bf16"})
            else:
                self._rest = _request(core, _read(core, model), settings)
        except RuntimeError as error:
            shown = model if isinstance(model, Path) else "the model"
            raise ExportError(f"OpenVINO cannot load {shown}: {error}") from None

    def run(self, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~secateur.bundle.session.Session`."""
        feed = batch_of(windows)
        if self._front_end is not None:
            feed[TOKENS] = self._front_end.infer(feed)[TOKENS]
        found = self._rest.infer(feed)
        logits, probabilities = (np.array(found[name], dtype=np.float32) for name in OUTPUTS)
        return logits, probabilities


def open_openvino(source: BundleSource, manifest: Manifest, threads: int) -> OpenVinoSession:
    """Load the model of a bundle that has been checked.

    Raises
    ------
    ConfigError, ExportError
        As :class:`OpenVinoSession`.
    """
    model: Path | bytes | Graph = file_or_content(
        source, manifest.model_file, limit=manifest.files[manifest.model_file].bytes
    )
    if isinstance(model, bytes):
        beside = str(Path(manifest.model_file).with_suffix(".bin"))
        if beside not in manifest.files:
            raise ExportError(f"{source.place} holds no {beside} for {manifest.model_file}; export it again.")
        weights = read_file(source, beside, limit=manifest.files[beside].bytes)
        model = Graph(structure=model, weights=weights)
    return OpenVinoSession(
        model,
        threads=threads,
        precision=manifest.precision,
        scheme=manifest.quantisation.scheme if manifest.quantisation else None,
    )


def _read(core: Any, model: Path | Graph) -> Any:
    if isinstance(model, Graph):
        return core.read_model(model.structure, model.weights)
    return core.read_model(model)


def _request(core: Any, model: Any, settings: dict[str, Any]) -> Any:
    return core.compile_model(model, "CPU", settings).create_infer_request()


def _at_tokens(openvino: ModuleType, core: Any, model: Path | Graph) -> tuple[Any, Any]:
    """Return front end and rest as models of their own; the rest takes tokens and what it still reads."""
    from openvino import opset13

    whole, rest = _read(core, model), _read(core, model)
    front_end = openvino.Model([_tokens(whole)], whole.get_parameters(), "front end")
    place = _tokens(rest)
    given = opset13.parameter(place.get_partial_shape(), np.float32, name=TOKENS)
    place.get_tensor().set_names(set())
    given.output(0).get_tensor().set_names({TOKENS})
    for target in place.get_target_inputs():
        target.replace_source_output(given.output(0))
    return front_end, openvino.Model(rest.get_results(), [given, *rest.get_parameters()], "rest")


def _tokens(model: Any) -> Any:
    for operation in model.get_ordered_ops():
        for output in operation.outputs():
            if TOKENS in output.get_names():
                return output
    raise RuntimeError(f"no tensor is named {TOKENS}")
