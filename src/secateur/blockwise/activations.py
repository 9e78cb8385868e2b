"""Where activations wait between two blocks: in memory or on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import Tensor

from secateur.models.shard_writing import TensorBytes, write_shard
from secateur.models.shards import read_header

CONTENT = "states"


class Activations(Protocol):
    """Tensors by name and batch."""

    def put(self, name: str, batch: int, tensor: Tensor) -> None:
        """Keep a tensor; one of the same name and batch is replaced."""

    def get(self, name: str, batch: int) -> Tensor:
        """Return a tensor that was put; it must not be changed in place."""

    def drop(self, name: str, batch: int | None = None) -> None:
        """Forget a tensor, or all of this name, if there are any."""


class InMemory:
    """Activations in a dictionary."""

    def __init__(self) -> None:
        self._held: dict[str, dict[int, Tensor]] = {}

    def put(self, name: str, batch: int, tensor: Tensor) -> None:
        """Keep a tensor as it is."""
        self._held.setdefault(name, {})[batch] = tensor

    def get(self, name: str, batch: int) -> Tensor:
        """Return the tensor itself."""
        return self._held[name][batch]

    def drop(self, name: str, batch: int | None = None) -> None:
        """Let go of a tensor, or of all of this name."""
        if batch is None:
            self._held.pop(name, None)
        else:
            self._held.get(name, {}).pop(batch, None)


class OnDisk:
    """A folder with one file for each tensor.

    Parameters
    ----------
    folder : Path
        Made when the first tensor is put.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def put(self, name: str, batch: int, tensor: Tensor) -> None:
        """Write a tensor."""
        write_shard(self._path(name, batch), {CONTENT: TensorBytes(tensor=tensor)})

    def get(self, name: str, batch: int) -> Tensor:
        """Read a tensor back.

        Raises
        ------
        CheckpointError
            If it is not there or was cut short.
        """
        return read_header(self._path(name, batch))[CONTENT].read()

    def drop(self, name: str, batch: int | None = None) -> None:
        """Remove a file, or all of this name."""
        which = "[0-9]*" if batch is None else f"{batch:05d}"
        for path in self.folder.glob(f"{name}.{which}.safetensors"):
            path.unlink()

    def _path(self, name: str, batch: int) -> Path:
        return self.folder / f"{name}.{batch:05d}.safetensors"
