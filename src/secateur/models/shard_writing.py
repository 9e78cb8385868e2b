"""Safetensors files written piece by piece: a tensor of any size passes through in bounded memory."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from secateur.core.files import write_aside
from secateur.models.shards import DTYPES, PIECE_BYTES

NAMES: dict[torch.dtype, str] = {dtype: name for name, dtype in DTYPES.items()}


class Writable(Protocol):
    """What can be put into a file: :class:`TensorBytes`, or a tensor of another file."""

    @property
    def dtype(self) -> str:
        """As the format names it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""

    @property
    def nbytes(self) -> int:
        """Bytes in all."""

    def pieces(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes in order."""


@dataclass(frozen=True, kw_only=True)
class TensorBytes:
    """A tensor in memory as bytes."""

    tensor: Tensor

    @property
    def dtype(self) -> str:
        """As the format names it."""
        return NAMES[self.tensor.dtype]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return tuple(self.tensor.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in all."""
        return self.tensor.numel() * self.tensor.element_size()

    def pieces(self) -> Iterator[memoryview]:
        """Yield the bytes in order."""
        if self.nbytes:
            flat = self.tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            content = flat.numpy().data
            for begin in range(0, len(content), PIECE_BYTES):
                yield content[begin : begin + PIECE_BYTES]


def write_shard(path: Path, tensors: Mapping[str, Writable]) -> str:
    """Write one safetensors file, aside first, and make sure that it is on the disk.

    Parameters
    ----------
    path : Path
        The file.
    tensors : mapping of str to Writable
        What it is to hold.

    Returns
    -------
    str
        SHA-256 of the file as hexadecimal digits.
    """
    # wider types first, so that every tensor begins at a multiple of its own width
    order = sorted(tensors, key=lambda name: (-DTYPES[tensors[name].dtype].itemsize, name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in order:
        begin, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": tensors[name].dtype,
            "shape": list(tensors[name].shape),
            "data_offsets": [begin, end],
        }
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    digest = hashlib.sha256()
    with write_aside(path) as aside, aside.open("wb") as stream:
        for piece in _contents(encoded, [tensors[name] for name in order]):
            digest.update(piece)
            stream.write(piece)
        stream.flush()
        os.fsync(stream.fileno())
    return digest.hexdigest()


def _contents(header: bytes, tensors: list[Writable]) -> Iterator[bytes | memoryview]:
    yield len(header).to_bytes(8, "little")
    yield header
    for tensor in tensors:
        yield from tensor.pieces()
