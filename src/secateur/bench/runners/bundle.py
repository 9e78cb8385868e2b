"""A bundle in the device's runtime: from a raw window to probabilities; no torch."""

from __future__ import annotations

import numpy as np
import onnxruntime  # noqa: F401  (the runtime would import it while it loads; here it counts as an import)

from secateur.bench.inputs import ORDERS, SHAFT_RATE_HZ, random_window
from secateur.bench.work import Work
from secateur.edge.runtime import Runtime
from secateur.signals.kinematics import FaultOrders

OVERSAMPLING = 2
_ORDERS = FaultOrders(**ORDERS)


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


def load(work: Work) -> Bundle:
    """Verify and load a bundle as a device does, golden windows included.

    Raises
    ------
    CheckpointError, ExportError
        As :class:`~secateur.edge.runtime.Runtime`.
    """
    return Bundle(Runtime(work.path, threads=work.threads))
