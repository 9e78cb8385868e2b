"""How ONNX Runtime is set up and loads a graph on a device; imported by what must stay light."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from secateur.core.errors import ExportError
from secateur.core.extras import explained

if TYPE_CHECKING:
    import onnxruntime

SLOWER = ("SkipLayerNormFusion",)
"""Rewrites of ONNX Runtime that cost time on processors: an addition and a layer norm as one operator take
about seven times as long as the two (one thread, 64 x 768, release 1.32)."""

_M_MMAP_THRESHOLD = -3
_OWN_PAGES_FROM_BYTES = 128 * 1024


@cache
def give_large_blocks_back() -> None:
    """Let glibc return large blocks to the system as soon as they are freed, as it does at first.

    By default it takes the size of what was freed for the size to keep, so that a copy of the weights that
    ONNX Runtime made while loading stays or goes by chance: the peak of a graph of 340 MB was 400 MiB in
    three runs of eight and 597 MiB in five. Elsewhere than on glibc nothing is done.
    """
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES_FROM_BYTES)


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Return options of a session whose threads sleep, not spin, while they wait.

    Parameters
    ----------
    threads : int
        Threads of one operator.
    """
    with explained("running a bundle"):
        import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def load_graph(model: Path | bytes, *, threads: int) -> onnxruntime.InferenceSession:
    """Load a graph on the processor.

    Parameters
    ----------
    model : Path or bytes
        The file, or its content.
    threads : int
        Threads of one operator.

    Raises
    ------
    ExportError
        If ONNX Runtime cannot load it.
    """
    with explained("running a bundle"):
        import onnxruntime

    give_large_blocks_back()
    try:
        return onnxruntime.InferenceSession(
            model,
            session_options(threads),
            providers=["CPUExecutionProvider"],
            disabled_optimizers=list(SLOWER),
        )
    except Exception as error:  # onnxruntime's error classes share no public base
        raise ExportError(f"ONNX Runtime cannot load {shown(model)}: {error}") from error


def shown(model: Path | bytes) -> str:
    """Return how a message names a graph."""
    return str(model) if isinstance(model, Path) else "the model"
