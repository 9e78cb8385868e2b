"""Running an exported graph with ONNX Runtime; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from secateur.core.errors import ExportError

if TYPE_CHECKING:
    import onnxruntime

INPUTS = ("waveform", "shaft_rate_hz", "fault_orders")
OUTPUTS = ("logits", "probabilities")


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Load a graph for one thread that sleeps, not spins, while it waits.

    Spinning threads cost ten times the latency as soon as something else runs on the device.

    Raises
    ------
    ExportError
        If ONNX Runtime cannot load the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's error classes share no public base
        raise ExportError(f"ONNX Runtime cannot load {path}: {error}") from error


def run_graph(
    session: onnxruntime.InferenceSession, windows: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Run the graph on windows.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        From :func:`open_session`.
    windows : mapping
        ``waveform`` (n, length), ``shaft_rate_hz`` (n,), ``fault_orders`` (n, 4); other keys are passed over.

    Returns
    -------
    logits, probabilities : ndarray of float32, shape (n, classes)
    """
    feed = {name: np.ascontiguousarray(windows[name], dtype=np.float32) for name in INPUTS}
    logits, probabilities = session.run(list(OUTPUTS), feed)
    return logits, probabilities
