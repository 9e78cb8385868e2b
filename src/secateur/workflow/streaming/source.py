"""A checkpoint that stays on disk: its empty model, and which stored tensor belongs where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from secateur.core.errors import ConfigError
from secateur.models import checkpoint, checkpoint_transformer
from secateur.models.binding import BoundModel, bind
from secateur.models.empty_model import empty_model
from secateur.models.pooling import read_modules, remember_modules
from secateur.models.pretrained import inventory_of, open_tokenizer, read_config
from secateur.models.shards import StoredTensor
from secateur.models.token_ids import require_fitting_tokenizer


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
        Of most numbers; all floating tensors of a block are brought to it.
    ignored : tuple of str
        Stored tensors that the model computes by itself or does not use; they are not carried over.
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
        Naming every shard that is missing or damaged, or the tensors that do not fit the configuration; see
        :func:`secateur.models.inventory.take_inventory`.
    UnsupportedArchitecture
        If no specification describes the model, or its weights are quantised.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; a limit of memory needs a local transformers folder.")
    history: dict[str, Any] = {}
    if checkpoint.kind_of(folder) == "transformer":
        described = checkpoint_transformer.describe(folder)
        if described.form == "own":
            raise ConfigError(
                f"{folder} has layers of different widths and is not a plain transformers folder; cut the "
                "model that it was made from, or leave --max-memory out."
            )
        history = described.metadata
    config, modules = read_config(folder), read_modules(folder)
    modules.require_whole(folder)
    tokenizer = open_tokenizer(folder)
    inventory = inventory_of(folder, config)
    model = empty_model(config, folder, real_buffers=True)
    require_fitting_tokenizer(tokenizer, model, folder)
    remember_modules(model, modules)
    bound = bind(model)
    if bound.shape.has_experts:
        raise ConfigError(
            f"{folder} holds a mixture of experts ('{bound.spec.family}'), which is cut in memory only; "
            "leave --max-memory out."
        )
    return StreamedModel(
        folder=folder,
        model=model,
        bound=bound,
        tensors=inventory.placed,
        dtype=inventory.dtype,
        ignored=inventory.harmless,
        tokenizer=tokenizer,
        history=history,
    )


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
