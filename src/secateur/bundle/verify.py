"""Checking a bundle where it is used: signature, checksums, then golden windows; no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secateur.bundle.causal_golden import golden_token_difference
from secateur.bundle.causal_manifest import CausalManifest
from secateur.bundle.causal_session import open_causal_session
from secateur.bundle.encoder_manifest import EncoderManifest
from secateur.bundle.encoder_session import golden_text_difference, open_encoder_session
from secateur.bundle.kinds import AnyManifest, parse_any_manifest
from secateur.bundle.manifest import MANIFEST_FILE, MANIFEST_LIMIT, Manifest
from secateur.bundle.session import Session, open_session
from secateur.bundle.signature import SIGNATURE_FILE, SIGNATURE_LIMIT, SignatureCheck, check_signature
from secateur.bundle.source import BundleSource, check_file, in_few_words, open_source, read_file
from secateur.core.arrays import Expected, read_arrays
from secateur.core.errors import CheckpointError, DataError, ExportError

GOLDEN_LIMIT = 64 << 20


@dataclass(frozen=True, kw_only=True)
class CheckedBundle:
    """A bundle whose files are what its manifest says, not loaded yet.

    Attributes
    ----------
    source : BundleSource
        Its files.
    manifest : Manifest, CausalManifest or EncoderManifest
        Of a Diagnoser, a causal language model, or an encoder of texts.
    signature : SignatureCheck
        Who vouches for it.
    """

    source: BundleSource
    manifest: AnyManifest
    signature: SignatureCheck

    @property
    def version(self) -> str:
        """First 12 digits of the manifest's SHA-256; the manifest holds the hash of every other file."""
        content = read_file(self.source, MANIFEST_FILE, limit=MANIFEST_LIMIT)
        return hashlib.sha256(content).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a bundle that passed looks like.

    Attributes
    ----------
    manifest : Manifest, CausalManifest or EncoderManifest
        The checked manifest.
    signature : SignatureCheck
        Who vouches for it.
    golden_max_abs_diff : float
        Largest difference between expected and computed golden logits.
    """

    manifest: AnyManifest
    signature: SignatureCheck
    golden_max_abs_diff: float


def check_bundle(bundle: Path, *, trusted: Sequence[Path] = ()) -> CheckedBundle:
    """Check signature and files of a bundle without loading its model.

    Parameters
    ----------
    bundle : Path
        Folder or archive.
    trusted : sequence of Path
        PEM files of public keys; if any is given, the bundle must be signed by one of them.

    Raises
    ------
    CheckpointError
        If a file is missing, cut short, altered or not named in the manifest, the schema is newer than
        this release, or the signature is missing or wrong.
    """
    source = open_source(bundle)
    content = read_file(source, MANIFEST_FILE, limit=MANIFEST_LIMIT)
    signature = None
    if SIGNATURE_FILE in source.names():
        signature = read_file(source, SIGNATURE_FILE, limit=SIGNATURE_LIMIT)
    checked = check_signature(content, signature, trusted)
    manifest = parse_any_manifest(content, source.place)
    unnamed = source.names() - set(manifest.files) - {MANIFEST_FILE, SIGNATURE_FILE}
    if unnamed:
        raise CheckpointError(
            f"{source.place} holds {in_few_words(unnamed)}, which the manifest does not name; "
            "remove it, or copy the whole bundle again."
        )
    for name, record in manifest.files.items():
        check_file(source, name, sha256=record.sha256, size=record.bytes)
    return CheckedBundle(source=source, manifest=manifest, signature=checked)


def verify_bundle(bundle: Path, *, trusted: Sequence[Path] = ()) -> Verification:
    """Check every file of a bundle and compute its golden windows, or golden tokens, again.

    Parameters
    ----------
    bundle, trusted
        As for :func:`check_bundle`.

    Returns
    -------
    Verification

    Raises
    ------
    CheckpointError
        As :func:`check_bundle`.
    ExportError
        If the model cannot be loaded or does not give the golden logits on this machine.
    """
    checked = check_bundle(bundle, trusted=trusted)
    if isinstance(checked.manifest, CausalManifest):
        given = checked.source, checked.manifest
        worst = golden_token_difference(*given, open_causal_session(*given))
    elif isinstance(checked.manifest, EncoderManifest):
        encoder = checked.source, checked.manifest
        worst = golden_text_difference(*encoder, open_encoder_session(*encoder))
    else:
        worst = golden_difference(checked, open_session(checked.source, checked.manifest))
    return Verification(manifest=checked.manifest, signature=checked.signature, golden_max_abs_diff=worst)


def golden_difference(checked: CheckedBundle, session: Session) -> float:
    """Compute the golden windows and return the largest difference from the recorded logits.

    Raises
    ------
    CheckpointError
        If the golden windows cannot be read.
    ExportError
        If the difference is larger than the manifest allows.
    """
    manifest, place = checked.manifest, checked.source.place
    golden = _read_golden(checked)
    logits, _ = session.run(golden)
    expected = golden["logits"]
    worst = float(np.abs(logits - expected).max())
    if not worst <= manifest.golden.tolerance:
        raise ExportError(
            f"{place / manifest.model_file} differs from the golden logits by {worst:.2e} on this machine; "
            f"allowed is {manifest.golden.tolerance:.0e}. Do not use it here."
        )
    return worst


def _read_golden(checked: CheckedBundle) -> Mapping[str, np.ndarray]:
    manifest = checked.manifest
    assert isinstance(manifest, Manifest), "language models have golden tokens"
    name, count = manifest.golden.file, manifest.golden.windows
    shapes = {
        "waveform": (count, manifest.window_length),
        "shaft_rate_hz": (count,),
        "fault_orders": (count, 4),
        "logits": (count, len(manifest.labels)),
    }
    content = read_file(checked.source, name, limit=GOLDEN_LIMIT)
    expected = {key: Expected(dtype="<f4", shape=shape) for key, shape in shapes.items()}
    try:
        golden = read_arrays(content, expected, checked.source.place / name, limit=GOLDEN_LIMIT)
    except DataError as error:
        raise CheckpointError(f"no golden windows of this model: {error} Export the model again.") from None
    if not all(np.isfinite(array).all() for array in golden.values()):
        raise CheckpointError(
            f"{checked.source.place / name} holds NaN or infinite numbers; export the model again."
        )
    return golden
