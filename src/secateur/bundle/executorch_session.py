"""Running a model in ExecuTorch; the package is imported only where such a bundle is opened."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from secateur.bundle.manifest import Manifest
from secateur.bundle.session import Windows, batch_of
from secateur.bundle.source import BundleSource, file_or_content
from secateur.core.errors import ConfigError, ExportError

PROGRAM_FILE = "model.pte"
METHOD = "forward"


def import_executorch() -> ModuleType:
    """Import the Python binding of ExecuTorch's runtime, and torch, which it is linked against.

    A device without torch runs a ``.pte`` file through ExecuTorch's C++ runtime, or a bundle in ONNX. The
    extension module is imported by itself: the package around it would import the whole exporter, which
    takes 3 s more and 130 MiB.

    Raises
    ------
    ConfigError
        If one of the two is not installed.
    """
    try:
        import_module("torch")
        return import_module("executorch.extension.pybindings._C")
    except ImportError as error:
        raise ConfigError(
            "an ExecuTorch bundle needs the packages executorch and torch, which its Python binding is "
            f"linked against; one cannot be imported ({error}). Install both with: pip install "
            "'secateur[executorch]'. Bundles in ONNX do without them."
        ) from None


class ExecuTorchSession:
    """A program of ExecuTorch that takes one window; a batch runs window by window.

    Parameters
    ----------
    model : Path or bytes
        The ``.pte`` file, or its content. It is a flatbuffer, which is checked before it is used.
    threads : int
        Threads of ExecuTorch's pool. The process has one pool: the session opened last sets it for all.

    Raises
    ------
    ConfigError
        If ExecuTorch is not installed.
    ExportError
        If it cannot load the model.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        binding = import_executorch()
        self._as_tensor = import_module("torch").from_numpy
        checked = {"program_verification": binding.Verification.InternalConsistency}
        binding._unsafe_reset_threadpool(threads)
        try:
            if isinstance(model, bytes):
                # the program reads from this content as long as it lives
                self._content = model
                self._program = binding._load_program_from_buffer(model, **checked)
            else:
                # the file is mapped, and weights that XNNPACK has packed are let go
                self._program = binding._load_program(str(model), **checked)
            self._method = self._program.load_method(METHOD)
        except (RuntimeError, ValueError) as error:
            shown = model if isinstance(model, Path) else "the model"
            raise ExportError(f"ExecuTorch cannot load {shown}: {error}") from None

    def run(self, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`~secateur.bundle.session.Session`."""
        # copies, since torch takes none that cannot be written
        feed = [np.array(array) for array in batch_of(windows).values()]
        rows = [self._one([array[row : row + 1] for array in feed]) for row in range(len(feed[0]))]
        logits, probabilities = (np.concatenate(column) for column in zip(*rows, strict=True))
        return logits, probabilities

    def _one(self, window: list[np.ndarray]) -> list[Any]:
        return [output.numpy() for output in self._method([self._as_tensor(array) for array in window])]


def open_executorch(source: BundleSource, manifest: Manifest, threads: int) -> ExecuTorchSession:
    """Load the model of a bundle that has been checked.

    Raises
    ------
    ConfigError, ExportError
        As :class:`ExecuTorchSession`.
    """
    record = manifest.files[manifest.model_file]
    return ExecuTorchSession(
        file_or_content(source, manifest.model_file, limit=record.bytes), threads=threads
    )
