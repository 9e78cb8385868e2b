"""An encoder of texts in ONNX Runtime, and the golden texts that every device must answer alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from secateur.bundle.encoder_manifest import EncoderManifest
from secateur.bundle.onnx_options import load_graph, shown
from secateur.bundle.source import BundleSource, file_or_content, read_file
from secateur.core.arrays import Expected, read_arrays
from secateur.core.errors import CheckpointError, DataError, ExportError

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "output"
GOLDEN_LIMIT = 64 << 20


class EncoderSession:
    """The loaded graph.

    Parameters
    ----------
    model : Path or bytes
        The file, or its content.
    threads : int
        Threads of one operator.

    Raises
    ------
    ExportError
        If ONNX Runtime cannot load it, or it is no graph of an encoder.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        self._session = load_graph(model, threads=threads)
        names = [entry.name for entry in self._session.get_inputs()]
        outputs = [entry.name for entry in self._session.get_outputs()]
        if sorted(names) != sorted(INPUTS) or outputs != [OUTPUT]:
            raise ExportError(f"{shown(model)} takes {', '.join(names)}; that is no encoder of texts.")

    def run(self, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return what the texts get, float32, shape (texts, width).

        Parameters
        ----------
        tokens, mask : ndarray of int64, shape (texts, tokens)
            The mask is 0 at padding, which stands on the right.
        """
        try:
            return self._session.run([OUTPUT], dict(zip(INPUTS, (tokens, mask), strict=True)))[0]
        except Exception as error:  # onnxruntime's error classes share no public base
            raise ExportError(f"the graph does not run: {str(error)[:500]}") from error


def open_encoder_session(
    source: BundleSource, manifest: EncoderManifest, *, threads: int = 1
) -> EncoderSession:
    """Load the model of a bundle that has been checked.

    Raises
    ------
    ExportError
        If ONNX Runtime cannot load it.
    """
    limit = manifest.files[manifest.model_file].bytes
    return EncoderSession(file_or_content(source, manifest.model_file, limit=limit), threads=threads)


def golden_text_difference(source: BundleSource, manifest: EncoderManifest, session: EncoderSession) -> float:
    """Compute the golden texts again and return the largest difference from the recorded outputs.

    Raises
    ------
    CheckpointError
        If the golden texts cannot be read, or are not those that the manifest describes.
    ExportError
        If outputs differ by more than the manifest allows.
    """
    record = manifest.golden
    shape = (record.texts, record.tokens)
    expected = {
        "tokens": Expected(dtype="<i8", shape=shape),
        "mask": Expected(dtype="<i8", shape=shape),
        "output": Expected(dtype="<f4", shape=(record.texts, manifest.width)),
    }
    place, content = source.place / record.file, read_file(source, record.file, limit=GOLDEN_LIMIT)
    try:
        stored = read_arrays(content, expected, place, limit=GOLDEN_LIMIT)
    except DataError as error:
        raise CheckpointError(f"no golden texts of this model: {error} Export the model again.") from None
    tokens, mask = stored["tokens"], stored["mask"]
    known = (tokens >= 0).all() and (tokens < manifest.vocabulary).all()
    if not known or not np.isin(mask, (0, 1)).all() or not mask.any(axis=1).all():
        raise CheckpointError(f"{place} holds no texts of this model; export the model again.")
    if not np.isfinite(stored["output"]).all():
        raise CheckpointError(f"{place} holds NaN or infinite numbers; export the model again.")
    found = session.run(tokens, mask)
    if found.shape != stored["output"].shape:
        raise ExportError(f"{place} expects outputs {stored['output'].shape}; the graph gives {found.shape}.")
    worst = float(np.abs(found - stored["output"]).max())
    if not worst <= record.tolerance:
        raise ExportError(
            f"{source.place / manifest.model_file} differs from the golden outputs by {worst:.2e} on this "
            f"machine; allowed is {record.tolerance:.0e}. Do not use it here."
        )
    return worst
