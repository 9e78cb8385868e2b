"""The file of a model of LiteRT, in each precision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import nn

from secateur.bundle.manifest import QuantisationRecord
from secateur.core.files import write_aside
from secateur.export.litert_bits import to_int8
from secateur.export.litert_graph import to_flatbuffer
from secateur.export.quantise import Quantisation


def write_litert(
    model: nn.Module,
    windows: Mapping[str, np.ndarray],
    path: Path,
    quantisation: Quantisation | None,
) -> tuple[int, QuantisationRecord | None]:
    """Write a diagnoser for LiteRT: one window in, logits and probabilities out.

    The batch is fixed at 1, as a device has it; the session runs a larger one window by window.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode, on the CPU, in float32.
    windows : mapping
        At least one real window to trace with.
    path : Path
        The ``.tflite`` file; written aside and renamed.
    quantisation : Quantisation or None
        How weights go to 8 bits; None for float32.

    Returns
    -------
    float32_bytes : int
        Size of the file in float32.
    record : QuantisationRecord or None

    Raises
    ------
    ConfigError
        If a package is missing.
    ExportError
        If the model cannot be expressed or quantised.
    """
    content = to_flatbuffer(model, windows)
    float32_bytes, record = len(content), None
    if quantisation is not None:
        content, record = to_int8(content, quantisation)
    with write_aside(path) as aside:
        aside.write_bytes(content)
    return float32_bytes, record
