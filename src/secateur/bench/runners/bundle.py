"""A bundle in the device's runtime: from a raw window to probabilities; no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np

from secateur.bench.inputs import ORDERS, SHAFT_RATE_HZ, random_window
from secateur.bench.work import Work
from secateur.bundle.executorch_session import import_executorch
from secateur.bundle.kinds import parse_any_manifest
from secateur.bundle.litert_session import import_litert
from secateur.bundle.manifest import MANIFEST_FILE, MANIFEST_LIMIT
from secateur.bundle.openvino_session import import_openvino
from secateur.bundle.source import open_source, read_file
from secateur.edge.runtime import Runtime
from secateur.signals.kinematics import FaultOrders

OVERSAMPLING = 2
_ORDERS = FaultOrders(**ORDERS)
_RUNTIMES: Mapping[str, Callable[[], object]] = {
    "onnx": partial(import_module, "onnxruntime"),
    "openvino": import_openvino,
    "executorch": import_executorch,
    "litert": import_litert,
}


class Bundle:
    """A verified and loaded bundle, with a window of noise.

    Parameters
    ----------
    runtime : Runtime
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        length = runtime.manifest.window_length
        self._window = random_window(length)["waveform"]
        rule = runtime.manifest.resampling
        factor = OVERSAMPLING if rule is not None and rule.allowed else 1
        self._rate_hz = factor * runtime.manifest.sampling_rate_hz
        self._burst = np.random.default_rng(1).standard_normal(factor * length).astype(np.float32)

    def infer(self) -> None:
        """Run one window through the model."""
        self._runtime.predict(self._window, shaft_rate_hz=SHAFT_RATE_HZ, fault_orders=_ORDERS)

    def diagnose(self) -> dict[str, float]:
        """Diagnose a burst of one window at twice the model's rate, resampling and windowing included."""
        self._runtime.diagnose(
            self._burst, sampling_rate_hz=self._rate_hz, shaft_rate_hz=SHAFT_RATE_HZ, fault_orders=_ORDERS
        )
        return {"sampling_rate_hz": self._rate_hz, "samples": len(self._burst)}


def import_runtime(work: Work) -> None:
    """Import what runs a bundle, so that it counts as an import and not as loading the model.

    Raises
    ------
    CheckpointError
        If the manifest cannot be read.
    ConfigError
        If the runtime is not installed.
    """
    source = open_source(Path(work.path))
    content = read_file(source, MANIFEST_FILE, limit=MANIFEST_LIMIT)
    _RUNTIMES[parse_any_manifest(content, source.place).format]()


def load(work: Work) -> Bundle:
    """Verify and load a bundle as a device does, golden windows included.

    Raises
    ------
    CheckpointError, ExportError
        As :class:`~secateur.edge.runtime.Runtime`.
    """
    return Bundle(Runtime(work.path, threads=work.threads))
