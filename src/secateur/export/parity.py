"""Parity: the exported graph must say what the checkpoint says, on real windows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from secateur.bundle.manifest import ParityRecord
from secateur.bundle.session import INPUTS, OnnxSession
from secateur.core.errors import ExportError

TOLERANCE = 1e-4
_BATCH = 16


def reference_logits(model: nn.Module, windows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Logits of the torch model in float32 on the CPU, shape (n, classes).

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode, on the CPU, in float32.
    windows : mapping
        ``waveform`` (n, length), ``shaft_rate_hz`` (n,), ``fault_orders`` (n, 4).
    """
    tensors = [torch.as_tensor(np.asarray(windows[name], dtype=np.float32)) for name in INPUTS]
    with torch.no_grad():
        batches = [model(*batch) for batch in zip(*(t.split(_BATCH) for t in tensors), strict=True)]
    return torch.cat(batches).numpy()


def measure_parity(
    graph: Path, expected: np.ndarray, windows: Mapping[str, np.ndarray], *, tolerance: float = TOLERANCE
) -> ParityRecord:
    """Compare the graph's logits with expected ones, in batches and again one window at a time.

    Parameters
    ----------
    graph : Path
        The ONNX file.
    expected : ndarray, shape (n, classes)
        From :func:`reference_logits`.
    windows : mapping
        The same windows.
    tolerance : float
        Largest difference allowed.

    Returns
    -------
    ParityRecord

    Raises
    ------
    ExportError
        If the difference is larger (or not a number), or probabilities do not belong to the logits.
    """
    session = OnnxSession(graph)
    count = len(expected)
    worst = 0.0
    for size in (_BATCH, 1):
        for first in range(0, count, size):
            part = {name: windows[name][first : first + size] for name in INPUTS}
            logits, probabilities = session.run(part)
            difference = np.abs(logits - expected[first : first + size]).max()
            # max() of Python passes NaN over, np.maximum keeps it
            worst = float(np.maximum(worst, difference))
            _check_probabilities(logits, probabilities)
    if not worst <= tolerance:
        raise ExportError(
            f"the exported graph's logits differ from the checkpoint's by {worst:.2e} over {count} windows; "
            f"allowed is {tolerance:.0e}. Nothing was written. The front end or attention uses an operation "
            "that the runtime computes differently."
        )
    return ParityRecord(max_abs_diff=worst, tolerance=tolerance, windows=count)


def _check_probabilities(logits: np.ndarray, probabilities: np.ndarray) -> None:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    if not np.allclose(probabilities, shifted / shifted.sum(axis=1, keepdims=True), atol=1e-5):
        raise ExportError("the exported graph's probabilities are not the softmax of its logits.")
