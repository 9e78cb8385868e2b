"""Checkpoints of Diagnosers: configuration, plan, one safetensors file, checksums of the three."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from secateur.core.errors import CheckpointError, SecateurError
from secateur.core.records import read_json, write_json
from secateur.models.checkpoint_files import (
    CHECKSUMS,
    CONFIG,
    PLAN,
    TENSORS,
    read_checksums,
    read_plan,
    read_tensors,
    require_checksums,
    require_files,
    seal,
    write_plan,
)
from secateur.models.compact.change import CHANGE, WeightChange, read_change
from secateur.models.diagnoser import Diagnoser, DiagnoserConfig
from secateur.models.live_tensors import put_tensors, require_values
from secateur.models.round_trip import require_same
from secateur.models.skeleton import skeleton
from secateur.structure.plan import PruningPlan

SCHEMA_VERSION = 1
FILES = (CONFIG, PLAN, TENSORS)


@dataclass(frozen=True, kw_only=True)
class Description:
    """What the checkpoint of a Diagnoser says about itself, without its tensors.

    Attributes
    ----------
    config : DiagnoserConfig
        Configuration of the dense model.
    plan : PruningPlan
        What was kept of it; the identity for a dense model.
    metadata : dict
        What was given on saving.
    """

    config: DiagnoserConfig
    plan: PruningPlan
    metadata: dict[str, Any]


def write(
    model: Diagnoser,
    folder: Path,
    *,
    plan: PruningPlan,
    weights: WeightChange | None,
    metadata: dict[str, Any],
    final: Path,
) -> None:
    """Fill an empty folder, which will be named ``final``, and prove that it gives the model back."""
    content = {"schema_version": SCHEMA_VERSION, "model": model.config.to_json(), "metadata": metadata}
    write_json(folder / CONFIG, content)
    write_plan(folder, plan)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    if weights is not None:
        tensors = weights.encoded(tensors)
        weights.write(folder)
    save_file(tensors, folder / TENSORS)
    seal(folder, FILES if weights is None else (*FILES, CHANGE))
    require_same(model, load(folder)[0], final)


def load(folder: Path) -> tuple[Diagnoser, WeightChange | None]:
    """Read a Diagnoser and its compact weights; see :func:`secateur.models.checkpoint.load`."""
    described = describe(folder)
    model = outline(folder, described)
    change, tensors = read_change(folder, read_checksums(folder), read_tensors(folder, [TENSORS]))
    put_tensors(model, tensors, str(folder / TENSORS))
    require_values(model, folder)
    return model.eval(), change


def outline(folder: Path, described: Description) -> Diagnoser:
    """Return the model without its weights, every parameter on the meta device."""
    try:
        return skeleton(lambda: Diagnoser(described.config), described.plan)
    except SecateurError as error:
        raise CheckpointError(f"{folder / PLAN} does not fit {folder / CONFIG}: {error}") from error


def describe(folder: Path, *, weights: bool = True) -> Description:
    """Read configuration, plan and metadata; see :func:`secateur.models.checkpoint.describe`.

    Without ``weights`` the checksum of the file that holds the tensors is not computed.
    """
    require_files(folder, FILES)
    expected = read_checksums(folder)
    if set(expected) - {CHANGE} != set(FILES):
        raise CheckpointError(
            f"{folder / CHECKSUMS} must name {CONFIG}, {PLAN} and {TENSORS}, and nothing else but {CHANGE}; "
            "it is damaged."
        )
    require_checksums(folder, {name: expected[name] for name in expected if weights or name != TENSORS})
    content = read_json(folder / CONFIG)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise CheckpointError(
            f"{folder / CONFIG} has schema version {version!r}; this release reads version {SCHEMA_VERSION}."
        )
    try:
        config = DiagnoserConfig.from_json(content["model"])
    except (SecateurError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG} is not a valid configuration: {error}") from error
    return Description(config=config, plan=read_plan(folder), metadata=content.get("metadata", {}))
