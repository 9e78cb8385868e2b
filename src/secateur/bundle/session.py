"""Running an exported model: ONNX Runtime by default, other runtimes where their extra is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from secateur.bundle.manifest import Manifest
from secateur.bundle.onnx_options import load_graph
from secateur.bundle.source import BundleSource, file_or_content
from secateur.core.errors import DataError, ExportError, SecateurError

INPUTS = ("waveform", "shaft_rate_hz", "fault_orders")
OUTPUTS = ("logits", "probabilities")
Windows = Mapping[str, np.ndarray]


class Session(Protocol):
    """A loaded model."""

    def run(self, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """Run the model on windows.

        Parameters
        ----------
        windows : mapping
            ``waveform`` (n, length), ``shaft_rate_hz`` (n,), ``fault_orders`` (n, 4); other keys are passed
            over.

        Returns
        -------
        logits, probabilities : ndarray of float32, shape (n, classes)
        """


def batch_of(windows: Windows) -> dict[str, np.ndarray]:
    """Return the inputs of a model as float32, checked: runtimes end the process on none at all.

    Parameters
    ----------
    windows : mapping
        As for :meth:`Session.run`.

    Raises
    ------
    DataError
        If an input is missing, there is no window, or the inputs are not of equally many windows.
    """
    if missing := [name for name in INPUTS if name not in windows]:
        raise DataError(f"the windows lack {', '.join(missing)}; a model takes {', '.join(INPUTS)}.")
    batch = {name: np.ascontiguousarray(windows[name], dtype=np.float32) for name in INPUTS}
    shapes = tuple(batch[name].shape for name in INPUTS)
    count = shapes[0][0] if len(shapes[0]) == 2 else 0
    if not count or not shapes[0][1] or shapes[1:] != ((count,), (count, 4)):
        raise DataError(
            f"inputs of the shapes {', '.join(map(str, shapes))} were given; a model takes (n, length), (n,) "
            "and (n, 4) with n at least 1."
        )
    return batch


class OnnxSession:
    """A graph in ONNX Runtime, on threads that sleep, not spin, while they wait.

    Spinning threads cost ten times the latency as soon as something else runs on the device.

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

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        self._session = load_graph(model, threads=threads)

    def run(self, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Session`."""
        logits, probabilities = self._session.run(list(OUTPUTS), batch_of(windows))
        return logits, probabilities


def open_session(source: BundleSource, manifest: Manifest, *, threads: int = 1) -> Session:
    """Load the model of a bundle that has been checked.

    Raises
    ------
    ConfigError
        If its runtime is not installed.
    ExportError
        If its runtime cannot load it, or this release does not run its format.
    """
    if manifest.format not in _OPENERS:
        raise ExportError(
            f"{source.place} is in the format {manifest.format}; this release runs {' and '.join(_OPENERS)}."
        )
    session = _OPENERS[manifest.format](source, manifest, threads)
    return CheckedSession(session, manifest, place=source.place / manifest.model_file)


class CheckedSession:
    """A model that takes and gives what its manifest says; any other outcome is an error of ours.

    Parameters
    ----------
    session : Session
        In whichever runtime.
    manifest : Manifest
    place : Path
        Of the model, for messages.
    """

    def __init__(self, session: Session, manifest: Manifest, *, place: Path) -> None:
        self._session, self._place = session, place
        self._length, self._classes = manifest.window_length, len(manifest.labels)

    def run(self, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`Session`.

        Raises
        ------
        DataError
            As :func:`batch_of`, or if the windows have another length.
        ExportError
            If the model does not run on them, or gives something else than numbers for each class.
        """
        batch = batch_of(windows)
        count, length = batch["waveform"].shape
        if length != self._length:
            raise DataError(f"windows of {length} samples were given; the model takes {self._length}.")
        try:
            outputs = self._session.run(batch)
        except SecateurError:
            raise
        except Exception as error:  # runtimes have no error class in common
            raise ExportError(f"{self._place} does not run: {str(error)[:500]}") from error
        for name, found in zip(OUTPUTS, outputs, strict=True):
            if found.shape != (count, self._classes) or found.dtype != np.float32:
                raise ExportError(
                    f"{self._place} gives {name} of shape {found.shape} and type {found.dtype}; expected "
                    f"float32 of shape {(count, self._classes)}, one number a class."
                )
        return outputs


def _open_onnx(source: BundleSource, manifest: Manifest, threads: int) -> Session:
    record = manifest.files[manifest.model_file]
    return OnnxSession(file_or_content(source, manifest.model_file, limit=record.bytes), threads=threads)


def _open_openvino(source: BundleSource, manifest: Manifest, threads: int) -> Session:
    from secateur.bundle.openvino_session import open_openvino

    return open_openvino(source, manifest, threads)


def _open_executorch(source: BundleSource, manifest: Manifest, threads: int) -> Session:
    from secateur.bundle.executorch_session import open_executorch

    return open_executorch(source, manifest, threads)


def _open_litert(source: BundleSource, manifest: Manifest, threads: int) -> Session:
    from secateur.bundle.litert_session import open_litert

    return open_litert(source, manifest, threads)


_OPENERS: dict[str, Callable[[BundleSource, Manifest, int], Session]] = {
    "onnx": _open_onnx,
    "openvino": _open_openvino,
    "executorch": _open_executorch,
    "litert": _open_litert,
}
