"""What bundles of every kind have in common: what is recorded of a model, and the seal at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from secateur.bundle.causal_manifest import CausalManifest
from secateur.bundle.encoder_manifest import EncoderManifest
from secateur.bundle.kinds import AnyManifest
from secateur.bundle.manifest import MANIFEST_FILE, FileRecord, LayerRecord, LineageRecord, Manifest
from secateur.bundle.verify import verify_bundle
from secateur.core.errors import ExportError
from secateur.core.files import sha256_of
from secateur.core.records import write_json
from secateur.models.binding import BoundLayer
from secateur.structure.plan import PruningPlan
from secateur.structure.plan_file import plan_to_json

Described = TypeVar("Described", Manifest, CausalManifest, EncoderManifest)


@dataclass(frozen=True, kw_only=True)
class Sealed(Generic[Described]):
    """What was written.

    Attributes
    ----------
    folder : Path
        The bundle.
    manifest : Manifest, CausalManifest or EncoderManifest
    n_bytes : int
        Size of the whole bundle.
    float32_graph_bytes : int
        Size of the model's files before weights went to fewer bits.
    """

    folder: Path
    manifest: Described
    n_bytes: int
    float32_graph_bytes: int


def described_as(kind: type[Described], **fields: Any) -> Described:
    """Return a manifest of these fields.

    Raises
    ------
    ExportError
        If a device would refuse it: a name of several lines, a figure that is not finite.
    """
    try:
        return kind(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise ExportError(
            f"the model cannot be described: {'.'.join(map(str, first['loc'])) or 'the manifest'}: "
            f"{first['msg']} (given: {str(first['input'])[:80]!r})."
        ) from None


def seal(folder: Path, manifest: AnyManifest) -> int:
    """Write the manifest of a bundle whose other files are there, and check it as a device does.

    Parameters
    ----------
    folder : Path
        The bundle, still aside.
    manifest : Manifest, CausalManifest or EncoderManifest

    Returns
    -------
    n_bytes : int
        Size of the whole bundle.

    Raises
    ------
    CheckpointError, ExportError
        As :func:`secateur.bundle.verify.verify_bundle`.
    """
    write_json(folder / MANIFEST_FILE, manifest.model_dump(mode="json"))
    verify_bundle(folder)
    return sum(file.stat().st_size for file in folder.iterdir())


def file_records(files: Iterable[Path]) -> dict[str, FileRecord]:
    """Return checksum and size of each file, by name."""
    return {file.name: FileRecord(sha256=sha256_of(file), bytes=file.stat().st_size) for file in files}


def layer_records(layers: Sequence[BoundLayer], plan: PruningPlan | None) -> tuple[LayerRecord, ...]:
    """Return the shape of each layer, with its position in the dense model.

    Parameters
    ----------
    layers : sequence of BoundLayer
        Of the model as it is.
    plan : PruningPlan or None
        What was kept of the dense model.

    Raises
    ------
    ExportError
        If the plan keeps another number of layers.
    """
    positions = [layer.index for layer in (plan.layers if plan else layers)]
    if len(positions) != len(layers):
        raise ExportError(
            f"the plan keeps {len(positions)} layers but the model has {len(layers)}; give the plan that the "
            "model was cut by."
        )
    return tuple(
        LayerRecord(index=index, heads=layer.n_heads, groups=layer.n_groups, channels=layer.n_channels)
        for index, layer in zip(positions, layers, strict=True)
    )


def lineage_record(lineage: Mapping[str, Any] | None, plan: PruningPlan | None) -> LineageRecord:
    """Return where a model comes from, the checksum of its plan included."""
    return LineageRecord(**{**(lineage or {}), "plan_sha256": plan_sha256(plan) if plan else None})


def plan_sha256(plan: PruningPlan) -> str:
    """Return the SHA-256 of a plan's canonical JSON, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(plan_to_json(plan), sort_keys=True).encode()).hexdigest()
