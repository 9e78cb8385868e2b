"""The folder that a streaming cut leaves: a checkpoint like any other, written without a model in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from secateur.core.files import sha256_of
from secateur.core.records import write_json
from secateur.models.checkpoint_card import CHECKSUMS, write_card
from secateur.models.checkpoint_files import write_plan
from secateur.models.checkpoint_transformer import config_values
from secateur.models.model_card import write_model_card
from secateur.models.older_readers import loading_call, write_for_older_readers, write_older_tokenizer
from secateur.models.pooling import modules_of
from secateur.models.shard_writing import TensorBytes, Writable, write_shard
from secateur.models.shards import INDEX, read_header
from secateur.models.stock import auto_class, stock_twin
from secateur.models.unit_numbers import keep_generation_numbers
from secateur.structure.plan import PruningPlan
from secateur.workflow.streaming.source import StreamedModel

GENERATION = "generation_config.json"
PLAIN, OWN = "model", "weights"


def shard_name(number: int, of: int) -> str:
    """Return the name of a file of weights, counted from 1."""
    return f"{PLAIN}-{number:05d}-of-{of:05d}.safetensors"


def write_block(model: StreamedModel, layer: int, path: Path) -> str:
    """Write the tensors of a block that is in memory; return the checksum of the file."""
    prefix = model.bound.block_path(layer)
    state = model.bound.layers[layer].module.state_dict()
    return write_shard(
        path, {f"{prefix}.{name}": TensorBytes(tensor=tensor) for name, tensor in state.items()}
    )


def write_outside(model: StreamedModel, path: Path) -> str:
    """Copy all tensors outside the blocks piece by piece; return the checksum of the file."""
    outside: Mapping[str, Writable] = model.outside()
    return write_shard(path, outside)


def finish(
    model: StreamedModel,
    folder: Path,
    *,
    plan: PruningPlan,
    metadata: dict[str, Any],
    digests: Mapping[str, str],
) -> None:
    """Add all that makes a folder of weights a checkpoint.

    Parameters
    ----------
    model : StreamedModel
        Every block cut.
    folder : Path
        Holds the weights.
    plan : PruningPlan
    metadata : dict
    digests : mapping of str to str
        Checksum of each file of weights.
    """
    cut = model.model
    if (model.folder / GENERATION).is_file():
        cut.generation_config = GenerationConfig.from_pretrained(model.folder)
        keep_generation_numbers(cut.generation_config, plan)
    twin = stock_twin(cut)
    generation = getattr(cut, "generation_config", None)
    given: dict[str, Any] = {"model_class": type(cut), "metadata": metadata}
    if twin is not None:
        twin.config.architectures = [type(cut).__name__]
        twin.config.dtype = model.dtype
        twin.config.save_pretrained(folder)
        if generation is not None and cut.can_generate():
            generation.save_pretrained(folder)
        older = write_for_older_readers(folder)
        ways = (loading_call(auto_class(cut), older=older), "secateur.load(folder)")
        write_card(folder, form="plain", loads_with=ways, **given)
        _write_index(model, folder, digests)
    else:
        # another name, so that no loader takes the folder for a model of equal widths
        digests = {_renamed(folder, name): digest for name, digest in digests.items()}
        write_card(
            folder,
            form="own",
            loads_with=("secateur.load(folder)",),
            not_plain_because="the configuration of the family cannot tell these widths",
            config=config_values(cut.config),
            generation_config=None if generation is None else config_values(generation),
            **given,
        )
    write_plan(folder, plan)
    modules_of(cut).write(folder)
    if model.tokenizer is not None:
        model.tokenizer.save_pretrained(folder)
        write_older_tokenizer(folder)
    rest = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.name not in {*digests, CHECKSUMS}
    )
    sealed = dict(digests) | {path.relative_to(folder).as_posix(): sha256_of(path) for path in rest}
    write_json(folder / CHECKSUMS, dict(sorted(sealed.items())))
    write_model_card(folder, model.folder)


def _write_index(model: StreamedModel, folder: Path, digests: Mapping[str, str]) -> None:
    placed: dict[str, str] = {}
    size = 0
    for name in sorted(digests):
        for tensor in read_header(folder / name).values():
            placed[tensor.name] = name
            size += tensor.nbytes
    parameters = sum(parameter.numel() for parameter in model.model.parameters())
    metadata = {"total_size": size, "total_parameters": parameters}
    write_json(folder / INDEX, {"metadata": metadata, "weight_map": dict(sorted(placed.items()))})


def _renamed(folder: Path, name: str) -> str:
    renamed = name.replace(PLAIN, OWN, 1)
    if (folder / name).exists():  # not yet, where an interruption fell behind the renaming
        (folder / name).rename(folder / renamed)
    return renamed
