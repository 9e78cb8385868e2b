"""Checks a bundle and that it holds what a runtime is for; another kind is refused with its own runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from secateur.bundle.causal_manifest import CausalManifest
from secateur.bundle.encoder_manifest import EncoderManifest
from secateur.bundle.kinds import AnyManifest
from secateur.bundle.manifest import Manifest
from secateur.bundle.verify import CheckedBundle, check_bundle
from secateur.core.errors import ConfigError

Kind = TypeVar("Kind", Manifest, CausalManifest, EncoderManifest)

RUNTIMES: dict[type[AnyManifest], tuple[str, str]] = {
    Manifest: ("a Diagnoser", "secateur.edge.Runtime"),
    CausalManifest: ("a causal language model", "secateur.edge.generate.TextRuntime"),
    EncoderManifest: ("an encoder of texts", "secateur.edge.texts.TextEncoder"),
}
"""What a bundle of each kind holds, and what opens it."""


def checked_bundle(
    bundle: str | Path,
    kind: type[Kind],
    *,
    others_fail: str,
    trusted: Sequence[Path],
    threads: int,
) -> tuple[CheckedBundle, Kind]:
    """Check a bundle for a runtime.

    Parameters
    ----------
    bundle : Path
        Folder or ``.sct`` archive.
    kind : type
        The manifest that the runtime is for.
    others_fail : str
        What bundles of other kinds do not do: "diagnoses nothing".
    trusted : sequence of Path
        PEM files of public keys; if any is given, the bundle must be signed by one of them.
    threads : int
        Threads of one operator.

    Returns
    -------
    checked : CheckedBundle
    manifest : Manifest, CausalManifest or EncoderManifest
        Its own, of that kind.

    Raises
    ------
    ConfigError
        If the bundle is of another kind, or there is no thread.
    CheckpointError
        If it is altered, cut short, of a newer schema, or not signed as required.
    """
    if threads < 1:
        raise ConfigError(f"{threads} threads; give at least 1.")
    checked = check_bundle(Path(bundle), trusted=trusted)
    if not isinstance(checked.manifest, kind):
        held, runtime = RUNTIMES[type(checked.manifest)]
        raise ConfigError(f"{bundle} holds {held}, which {others_fail}; open it with {runtime}.")
    return checked, checked.manifest
