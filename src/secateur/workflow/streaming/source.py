"""A checkpoint that stays on disk: its empty model, and which stored tensor belongs where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightRenaming, rename_source_key

from secateur.core.errors import CheckpointError, ConfigError, UnsupportedArchitecture
from secateur.models import checkpoint
from secateur.models.binding import BoundModel, bind
from secateur.models.live_tensors import stored_tensors
from secateur.models.pretrained import class_of, open_tokenizer, read_config
from secateur.models.shards import DTYPES, Shards, StoredTensor, open_shards
from secateur.models.stock import REFUSALS


@dataclass(frozen=True, kw_only=True)
class StreamedModel:
    """A model of which one block at a time is in memory.

    Attributes
    ----------
    folder : Path
    model : transformers.PreTrainedModel
        Every parameter on the meta device, except inside :meth:`block` and :meth:`front`; computed buffers
        are real. Blocks that were cut stay cut.
    bound : BoundModel
        Its binding.
    tensors : mapping of str to StoredTensor
        Where each tensor of the model lies, by its name in the model; tied ones under their first name.
    dtype : torch.dtype
        Of most numbers in the blocks; all floating tensors of a block are brought to it.
    ignored : tuple of str
        Stored tensors that the model has no place for; they are not carried over.
    tokenizer : object or None
    history : dict
        Metadata of the checkpoint, where it is one of ours.
    """

    folder: Path
    model: PreTrainedModel
    bound: BoundModel
    tensors: Mapping[str, StoredTensor]
    dtype: torch.dtype
    ignored: tuple[str, ...]
    tokenizer: Any
    history: dict[str, Any]

    def of_block(self, layer: int) -> dict[str, StoredTensor]:
        """Return where the tensors of a block lie, by their path inside the block."""
        prefix = f"{self.bound.block_path(layer)}."
        return {
            name.removeprefix(prefix): stored
            for name, stored in self.tensors.items()
            if name.startswith(prefix)
        }

    def outside(self) -> dict[str, StoredTensor]:
        """Return where the tensors outside all blocks lie."""
        blocks = tuple(f"{self.bound.block_path(layer.index)}." for layer in self.bound.layers)
        return {name: stored for name, stored in self.tensors.items() if not name.startswith(blocks)}

    def in_front(self) -> dict[str, StoredTensor]:
        """Return where those tensors of the base model lie that belong to no block."""
        wanted = {id(tensor) for tensor in self.bound.base.state_dict(keep_vars=True).values()}
        live = self.model.state_dict(keep_vars=True)
        return {name: stored for name, stored in self.outside().items() if id(live[name]) in wanted}

    @contextmanager
    def block(self, layer: int) -> Iterator[nn.Module]:
        """Have the weights of one block in memory while the context lasts."""
        module = self.bound.layers[layer].module
        for path, stored in self.of_block(layer).items():
            _put(module, path, _as(stored, self.dtype))
        try:
            yield module
        finally:
            _empty(module)

    @contextmanager
    def front(self) -> Iterator[None]:
        """Have what stands outside the blocks of the base model in memory while the context lasts."""
        stored = self.in_front()
        live = self.model.state_dict(keep_vars=True)
        places = {id(live[name]): name for name in stored}
        values = {name: _as(entry, self.dtype) for name, entry in stored.items()}
        try:
            for path, tensor in self.bound.base.state_dict(keep_vars=True).items():
                if id(tensor) in places:
                    _put(self.bound.base, path, values[places[id(tensor)]])
            yield
        finally:
            del values
            for path, tensor in self.bound.base.state_dict(keep_vars=True).items():
                if not tensor.is_meta:
                    _put(self.bound.base, path, tensor.detach().to("meta"))
            self.model.tie_weights()


def open_streamed(folder: Path) -> StreamedModel:
    """Open a ``transformers`` folder without reading any weight, and check that all of them are there.

    Parameters
    ----------
    folder : Path
        Of safetensors, one file or many; or a checkpoint of ours in the plain form.

    Raises
    ------
    ConfigError
        If there is no such folder, or the checkpoint is in the form that only secateur reads.
    CheckpointError
        Naming every shard that is missing or damaged, or a tensor that is missing or of another shape than
        the configuration tells.
    UnsupportedArchitecture
        If no specification describes the model, or its weights are quantised.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; a limit of memory needs a local transformers folder.")
    history: dict[str, Any] = {}
    if checkpoint.kind_of(folder) == "transformer":
        described = checkpoint.describe(folder)
        if described.form == "own":
            raise ConfigError(
                f"{folder} has layers of different widths and is not a plain transformers folder; cut the "
                "model that it was made from, or leave --max-memory out."
            )
        history = described.metadata
    config = read_config(folder)
    shards = open_shards(folder)
    model = _empty_model(config, folder)
    bound = bind(model)
    tensors, ignored = _placed(model, shards)
    return StreamedModel(
        folder=folder,
        model=model,
        bound=bound,
        tensors=tensors,
        dtype=_main_dtype(shards, [bound.block_path(layer.index) for layer in bound.layers], tensors),
        ignored=ignored,
        tokenizer=open_tokenizer(folder),
        history=history,
    )


def _empty_model(config: Any, folder: Path) -> PreTrainedModel:
    model_class = class_of(config)
    try:
        with torch.random.fork_rng(devices=[]), init_empty_weights(include_buffers=False):
            model = model_class(config)
    except REFUSALS as error:
        raise CheckpointError(f"{folder / 'config.json'} does not describe a model: {error}") from error
    model.tie_weights()
    return model.eval()


def _placed(model: PreTrainedModel, shards: Shards) -> tuple[dict[str, StoredTensor], tuple[str, ...]]:
    """Find the stored tensor of each tensor of the model; ``transformers`` renames some on loading."""
    state = model.state_dict(keep_vars=True)
    renamings = [rule for rule in get_model_conversion_mapping(model) if isinstance(rule, WeightRenaming)]
    by_name: dict[str, StoredTensor] = {}
    ignored: list[str] = []
    for key, stored in shards.tensors.items():
        name, _ = rename_source_key(key, renamings, [], model.base_model_prefix, state)
        if name in state:
            by_name[name] = stored
        else:
            ignored.append(key)
    placed: dict[str, StoredTensor] = {}
    missing: list[str] = []
    for first, tensor in stored_tensors(model).items():
        tied = [name for name, other in state.items() if other is tensor and name in by_name]
        if not tied:
            missing.append(first)
            continue
        stored = by_name[tied[0]]
        if stored.shape != tuple(tensor.shape):
            raise CheckpointError(
                f"{stored.path}: '{stored.name}' has shape {list(stored.shape)}, but the configuration tells "
                f"{list(tensor.shape)}; the two belong to different models."
            )
        placed[first] = stored
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        raise CheckpointError(
            f"{shards.folder} lacks {len(missing)} tensors that its configuration asks for: {shown}. Restore "
            "the folder from a copy."
        )
    return placed, tuple(sorted(ignored))


def _main_dtype(shards: Shards, blocks: list[str], tensors: Mapping[str, StoredTensor]) -> torch.dtype:
    sizes: dict[str, int] = {}
    starts = tuple(f"{path}." for path in blocks)
    for name, stored in tensors.items():
        if name.startswith(starts):
            sizes[stored.dtype] = sizes.get(stored.dtype, 0) + stored.nbytes
    dtype = max(sizes, key=lambda name: sizes[name])
    if dtype not in ("BF16", "F16", "F32", "F64"):
        raise UnsupportedArchitecture(
            f"{shards.folder} holds its blocks as {dtype}; quantised weights cannot be cut, give those that "
            "they were made from (BF16, F16, F32 or F64)."
        )
    return DTYPES[dtype]


def _as(stored: StoredTensor, dtype: torch.dtype) -> torch.Tensor:
    tensor = stored.read()
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _put(module: nn.Module, path: str, tensor: torch.Tensor) -> None:
    """Set a parameter or buffer, wherever it stands inside ``module``."""
    owner_path, _, name = path.rpartition(".")
    owner = module.get_submodule(owner_path)
    if name in owner._parameters:
        owner._parameters[name] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[name] = tensor


def _empty(module: nn.Module) -> None:
    for path, tensor in module.state_dict(keep_vars=True).items():
        _put(module, path, tensor.detach().to("meta"))
