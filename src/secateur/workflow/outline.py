"""Models without their weights: built on the meta device from a folder, in seconds at any size."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from secateur.core.errors import CheckpointError, ConfigError, UnsupportedArchitecture
from secateur.core.records import read_json
from secateur.models import checkpoint
from secateur.models.checkpoint_files import CONFIG, read_plan
from secateur.models.empty_model import empty_model
from secateur.models.pretrained import folder_of, read_config
from secateur.models.shards import INDEX, read_header
from secateur.structure.spec import spec_for


@dataclass(frozen=True, kw_only=True)
class StoredWeights:
    """What the headers of the safetensors files say.

    Attributes
    ----------
    files : tuple of str
        Their names.
    bytes : int
        Their sizes together.
    tensors : int
    parameters : int
        Numbers stored; a tied matrix counts as often as it is stored.
    dtypes : dict of str to int
        Numbers stored of each type.
    missing : tuple of str
        Shards that the index names and that are not there.
    """

    files: tuple[str, ...]
    bytes: int
    tensors: int
    parameters: int
    dtypes: dict[str, int]
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Outline:
    """A model without its weights.

    Attributes
    ----------
    origin : str
        What it was built from, in words.
    model : torch.nn.Module
        With every parameter on the meta device.
    stored : StoredWeights, optional
        None where there are no weights beside the configuration.
    """

    origin: str
    model: nn.Module
    stored: StoredWeights | None


def outline_of(source: str | Path) -> Outline:
    """Build a model without its weights.

    Parameters
    ----------
    source : str or Path
        A checkpoint of secateur, a folder with the ``config.json`` of a ``transformers`` model (weights need
        not be there), a GGUF file, or a model's name on the hub, of which the configuration alone is loaded.

    Raises
    ------
    UnsupportedArchitecture
        If no specification describes the model.
    ConfigError
        If there is no such folder or name, or the configuration contradicts itself.
    CheckpointError
        If a file is damaged or cut short, or stored shapes are not those that the configuration tells.
    """
    if checkpoint.kind_of(Path(source)) is not None:
        folder = Path(source)
        model: nn.Module = checkpoint.outline(folder)
        cut = "dense" if read_plan(folder).is_identity else "cut"
        origin = f"secateur checkpoint, {cut}"
    else:
        folder = folder_of(source, weights=False)
        model = model_on_meta(folder)
        origin = "transformers folder" if Path(source).exists() else "name on the hub"
    stored = _stored_weights(folder, model)
    return Outline(origin=origin, model=model, stored=stored)


def model_on_meta(folder: Path) -> PreTrainedModel:
    """Build the model that a folder's configuration describes, without weights.

    Raises
    ------
    SecateurError
        See :func:`outline_of`.
    """
    try:
        config = read_config(folder)
    except (ConfigError, UnsupportedArchitecture):
        content = read_json(folder / CONFIG) if (folder / CONFIG).is_file() else None
        if isinstance(content, dict) and isinstance(content.get("model_type"), str):
            # a family that transformers does not know is none of ours; a known one has another fault
            spec_for(content["model_type"], content.get)
        raise
    spec_for(config.model_type, lambda name: getattr(config, name, None))
    return empty_model(config, folder)


def _stored_weights(folder: Path, model: nn.Module) -> StoredWeights | None:
    names = {path.name for path in folder.glob("*.safetensors")}
    index = read_json(folder / INDEX)["weight_map"].values() if (folder / INDEX).is_file() else ()
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    prefix = getattr(model, "base_model_prefix", "")
    numbers: dict[str, int] = {}
    tensors = 0
    for file in sorted(names):
        for name, tensor in read_header(folder / file).items():
            _require_shape(folder / file, name, tensor.shape, expected, prefix)
            numbers[tensor.dtype] = numbers.get(tensor.dtype, 0) + prod(tensor.shape)
            tensors += 1
    if not names and not index:
        return None
    return StoredWeights(
        files=tuple(sorted(names)),
        bytes=sum((folder / name).stat().st_size for name in names),
        tensors=tensors,
        parameters=sum(numbers.values()),
        dtypes=numbers,
        missing=tuple(sorted(set(index) - names)),
    )


def _require_shape(
    path: Path, name: str, shape: tuple[int, ...], expected: dict[str, tuple[int, ...]], prefix: str
) -> None:
    names = (name, f"{prefix}.{name}", name.removeprefix(f"{prefix}."))
    wanted = next((expected[entry] for entry in names if entry in expected), shape)
    if wanted != shape:
        raise CheckpointError(
            f"{path}: '{name}' has shape {shape}, but {path.with_name(CONFIG)} tells {wanted}; "
            "the two belong to different models."
        )
