"""Running a model in LiteRT; the package is imported only where such a bundle is opened."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from secateur.bundle.manifest import Manifest
from secateur.bundle.session import INPUTS, OUTPUTS, Windows, batch_of
from secateur.bundle.source import BundleSource, file_or_content
from secateur.core.errors import ConfigError, ExportError

FLATBUFFER_FILE = "model.tflite"


def import_litert() -> ModuleType:
    """Import LiteRT's interpreter; it needs NumPy and neither torch nor TensorFlow.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        return import_module("ai_edge_litert.interpreter")
    except ImportError as error:
        raise ConfigError(
            f"a LiteRT bundle needs the package ai-edge-litert, which cannot be imported ({error}); install "
            "it with: pip install 'secateur[litert]'. Bundles in ONNX do without."
        ) from None


class LiteRtSession:
    """A flatbuffer in LiteRT's interpreter that takes one window; a batch runs window by window.

    The interpreter hands what it can to XNNPACK, its library of kernels for processors.

    Parameters
    ----------
    model : Path or bytes
        The ``.tflite`` file, which is mapped into memory, or its content. Its structure is verified before
        it is used.
    threads : int

    Raises
    ------
    ConfigError
        If LiteRT is not installed.
    ExportError
        If it cannot load the model, or the model does not take and give what a bundle's does.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        litert = import_litert()
        shown = model if isinstance(model, Path) else "the model"
        given = {"model_path": str(model)} if isinstance(model, Path) else {"model_content": model}
        try:
            self._interpreter = litert.Interpreter(num_threads=threads, **given)
            self._run = self._interpreter.get_signature_runner()
        except (RuntimeError, ValueError) as error:
            raise ExportError(f"LiteRT cannot load {shown}: {error}") from None
        takes, gives = sorted(self._run.get_input_details()), sorted(self._run.get_output_details())
        if takes != sorted(INPUTS) or gives != sorted(OUTPUTS):
            raise ExportError(
                f"{shown} takes {', '.join(takes)} and gives {', '.join(gives)}; a bundle's model takes "
                f"{', '.join(INPUTS)} and gives {', '.join(OUTPUTS)}. Export it again."
            )

    def run(self, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~secateur.bundle.session.Session`."""
        feed = batch_of(windows)
        rows = [
            self._run(**{name: array[row : row + 1] for name, array in feed.items()})
            for row in range(len(feed["waveform"]))
        ]
        logits, probabilities = (np.concatenate([row[name] for row in rows]) for name in OUTPUTS)
        return logits, probabilities


def open_litert(source: BundleSource, manifest: Manifest, threads: int) -> LiteRtSession:
    """Load the model of a bundle that has been checked.

    Raises
    ------
    ConfigError, ExportError
        As :class:`LiteRtSession`.
    """
    record = manifest.files[manifest.model_file]
    return LiteRtSession(file_or_content(source, manifest.model_file, limit=record.bytes), threads=threads)
