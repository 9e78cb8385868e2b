"""Tensors that wait on disk, one file for each batch of calibration text."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from secateur.models.shard_writing import TensorBytes, write_shard
from secateur.models.shards import read_header

CONTENT = "states"


class Spill:
    """A folder of tensors by name and batch.

    Parameters
    ----------
    folder : Path
        Made when the first tensor is put.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def put(self, name: str, batch: int, tensor: Tensor) -> None:
        """Write a tensor; one of the same name and batch is replaced."""
        write_shard(self._path(name, batch), {CONTENT: TensorBytes(tensor=tensor)})

    def get(self, name: str, batch: int) -> Tensor:
        """Read a tensor back.

        Raises
        ------
        CheckpointError
            If it is not there or was cut short.
        """
        return read_header(self._path(name, batch))[CONTENT].read()

    def drop(self, name: str) -> None:
        """Remove all tensors of this name, if there are any."""
        for path in self.folder.glob(f"{name}.[0-9]*.safetensors"):
            path.unlink()

    def _path(self, name: str, batch: int) -> Path:
        return self.folder / f"{name}.{batch:05d}.safetensors"
