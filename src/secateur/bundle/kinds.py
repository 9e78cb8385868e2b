"""The kinds of bundle: a Diagnoser, whose manifest names no kind, a language model, an encoder of texts."""

from __future__ import annotations

from pathlib import Path

from secateur.bundle.causal_manifest import CAUSAL_KIND, CAUSAL_VERSIONS, CausalManifest
from secateur.bundle.encoder_manifest import ENCODER_KIND, ENCODER_VERSIONS, EncoderManifest
from secateur.bundle.manifest import MANIFEST_FILE, Manifest, json_of, parse_as, parse_manifest
from secateur.core.errors import CheckpointError

AnyManifest = Manifest | CausalManifest | EncoderManifest


def parse_any_manifest(content: bytes, place: Path) -> AnyManifest:
    """Check the content of a manifest file, whichever kind of bundle it describes.

    Parameters
    ----------
    content : bytes
        What the file holds.
    place : Path
        The bundle, for messages.

    Raises
    ------
    CheckpointError
        If the kind is not known here, or as :func:`secateur.bundle.manifest.parse_manifest`.
    """
    value = json_of(content, place)
    if not isinstance(value, dict) or "kind" not in value:
        return parse_manifest(content, place)
    if value["kind"] == CAUSAL_KIND:
        return parse_as(CausalManifest, content, place, versions=CAUSAL_VERSIONS)
    if value["kind"] == ENCODER_KIND:
        return parse_as(EncoderManifest, content, place, versions=ENCODER_VERSIONS)
    raise CheckpointError(
        f"{place / MANIFEST_FILE} describes a bundle of the kind {value['kind']!r}; this release knows "
        f"'{CAUSAL_KIND}', '{ENCODER_KIND}' and Diagnosers. Update secateur on this device."
    )
