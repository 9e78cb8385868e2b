"""Checking a bundle where it is used: checksums, then golden windows through ONNX Runtime; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from secateur.bundle.manifest import MODEL_FILE, Manifest, read_manifest
from secateur.bundle.session import INPUTS, open_session, run_graph
from secateur.core.errors import CheckpointError, ExportError
from secateur.core.files import sha256_of


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a bundle that passed looks like.

    Attributes
    ----------
    manifest : Manifest
        The checked manifest.
    golden_max_abs_diff : float
        Largest difference between expected and computed golden logits.
    """

    manifest: Manifest
    golden_max_abs_diff: float


def verify_bundle(folder: Path) -> Verification:
    """Check every file of a bundle against the manifest and compute the golden windows again.

    Parameters
    ----------
    folder : Path
        The bundle.

    Returns
    -------
    Verification

    Raises
    ------
    CheckpointError
        If a file is missing, cut short or altered.
    ExportError
        If the graph cannot be loaded or does not give the golden logits on this machine.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    for name, record in manifest.files.items():
        check_file(folder / name, sha256=record.sha256, size=record.bytes)
    golden = _read_golden(folder / manifest.golden.file)
    logits, _ = run_graph(open_session(folder / MODEL_FILE), golden)
    expected = golden["logits"]
    if logits.shape != expected.shape:
        raise ExportError(
            f"{folder / MODEL_FILE} gives logits of shape {logits.shape} for the golden windows; "
            f"expected {expected.shape}."
        )
    worst = float(np.abs(logits - expected).max())
    if not worst <= manifest.golden.tolerance:
        raise ExportError(
            f"{folder / MODEL_FILE} differs from the golden logits by {worst:.2e} on this machine; "
            f"allowed is {manifest.golden.tolerance:.0e}. Do not use it here."
        )
    return Verification(manifest=manifest, golden_max_abs_diff=worst)


def check_file(path: Path, *, sha256: str, size: int) -> None:
    """Compare one file with its recorded size and checksum.

    Raises
    ------
    CheckpointError
        If it is missing or different.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; copy the whole bundle again.")
    found = path.stat().st_size
    if found != size:
        raise CheckpointError(f"{path} has {found} bytes instead of {size}; copy the whole bundle again.")
    if sha256_of(path) != sha256:
        raise CheckpointError(f"{path} does not have its recorded checksum; it was altered or damaged.")


def _read_golden(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in (*INPUTS, "logits")}
    except (KeyError, ValueError, BadZipFile, EOFError) as error:
        raise CheckpointError(f"{path} holds no golden windows ({error}); export the model again.") from None
