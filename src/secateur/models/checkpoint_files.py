"""Files of a checkpoint folder: their names, their checksums, the plan among them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from secateur.core.errors import CheckpointError, ConfigError, SecateurError
from secateur.core.files import sha256_of
from secateur.core.records import read_json, write_json
from secateur.structure.plan import PruningPlan
from secateur.structure.plan_file import plan_from_json, plan_to_json

CONFIG, PLAN, TENSORS, CHECKSUMS = "config.json", "plan.json", "model.safetensors", "checksums.json"


def seal(folder: Path, names: Iterable[str]) -> None:
    """Write the checksums of these files, the last file of a checkpoint."""
    write_json(folder / CHECKSUMS, {name: sha256_of(folder / name) for name in sorted(names)})


def require_files(folder: Path, names: Iterable[str]) -> None:
    """Check that a folder and files in it are there.

    Raises
    ------
    ConfigError
        If there is no such folder.
    CheckpointError
        Naming the file that is missing.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; give the folder of a checkpoint.")
    for name in (*names, CHECKSUMS):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name} is missing; the checkpoint is not whole.")


def read_checksums(folder: Path) -> dict[str, str]:
    """Return the checksum of each sealed file by its name.

    Raises
    ------
    CheckpointError
        If the file is no such list, or a name in it leads out of the folder.
    """
    expected = read_json(folder / CHECKSUMS)
    if not isinstance(expected, dict) or not all(_is_name(name) for name in expected):
        raise CheckpointError(f"{folder / CHECKSUMS} is no list of file names and checksums; it is damaged.")
    return expected


def require_checksums(folder: Path, expected: dict[str, str]) -> None:
    """Check that each file is as it was sealed.

    Raises
    ------
    CheckpointError
        Naming the first that is not.
    """
    for name, digest in expected.items():
        try:
            found = sha256_of(folder / name)
        except FileNotFoundError:
            raise CheckpointError(f"{folder / name} is missing; the checkpoint is not whole.") from None
        except OSError as error:
            raise CheckpointError(f"{folder / name} could not be read: {error}.") from error
        if found != digest:
            raise CheckpointError(
                f"{folder / name} does not match its checksum; it was changed, damaged or cut short. "
                "Restore it from a copy."
            )


def write_plan(folder: Path, plan: PruningPlan) -> None:
    """Write the plan of a checkpoint."""
    write_json(folder / PLAN, plan_to_json(plan))


def read_plan(folder: Path) -> PruningPlan:
    """Read the plan of a checkpoint.

    Raises
    ------
    CheckpointError
        If it is not valid.
    """
    try:
        return plan_from_json(read_json(folder / PLAN))
    except SecateurError as error:
        raise CheckpointError(f"{folder / PLAN} is not a valid plan: {error}") from error


def read_tensors(folder: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Return every tensor of these safetensors files.

    Raises
    ------
    CheckpointError
        If a file is not readable or two of them hold a tensor of the same name.
    """
    tensors: dict[str, Tensor] = {}
    for file in names:
        try:
            with safe_open(folder / file, framework="pt") as stored:
                for name in stored.keys():  # noqa: SIM118
                    if name in tensors:
                        raise CheckpointError(f"{folder / file} holds '{name}', as another file does.")
                    tensors[name] = stored.get_tensor(name)
        except SafetensorError as error:
            raise CheckpointError(
                f"{folder / file} is not readable ({error}); it is damaged or cut short."
            ) from error
    return tensors


def _is_name(value: Any) -> bool:
    parts = PurePosixPath(value).parts if isinstance(value, str) else ()
    return bool(parts) and not PurePosixPath(value).is_absolute() and ".." not in parts
