"""Safetensors folders of any size: what they hold, and one tensor at a time.

Files are read with plain reads into memory of our own, never mapped, so that what this process holds is what
it asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secateur.core.errors import CheckpointError
from secateur.core.records import read_json

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
ORIGINAL_FORMAT = "consolidated"
"""Begin of the names of files that hold the same weights once more, as their authors' own code reads them."""
DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
PIECE_BYTES = 16 * 2**20
LARGEST_HEADER = 100 * 10**6
"""Of the format's own definition; a longer one is no header."""


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """One tensor in a file.

    Attributes
    ----------
    name : str
    path : Path
        The file.
    dtype : str
        As the format names it, such as ``"BF16"``.
    shape : tuple of int
    begin : int
        Where in the file its first byte is.
    """

    name: str
    path: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return prod(self.shape) * DTYPES[self.dtype].itemsize

    def read(self) -> Tensor:
        """Return the tensor, in memory of its own.

        Raises
        ------
        CheckpointError
            If the file ends early or cannot be read.
        """
        tensor = torch.empty(self.shape, dtype=DTYPES[self.dtype])
        target = tensor.reshape(-1).view(torch.uint8).numpy().data if self.nbytes else memoryview(b"")
        filled = 0
        for piece in self.pieces():
            target[filled : filled + len(piece)] = piece
            filled += len(piece)
        return tensor

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes in pieces of a few MiB.

        Raises
        ------
        CheckpointError
            If the file ends early or cannot be read.
        """
        left = self.nbytes
        try:
            with self.path.open("rb", buffering=0) as stream:
                stream.seek(self.begin)
                while left:
                    piece = stream.read(min(left, PIECE_BYTES))
                    if not piece:
                        raise CheckpointError(f"{self.path} ends inside '{self.name}'; it was cut short.")
                    left -= len(piece)
                    yield piece
        except OSError as error:
            raise CheckpointError(f"{self.path} could not be read: {error}.") from error


@dataclass(frozen=True, kw_only=True)
class Shards:
    """What the safetensors files of a folder hold.

    Attributes
    ----------
    folder : Path
    tensors : dict of str to StoredTensor
    """

    folder: Path
    tensors: Mapping[str, StoredTensor]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def open_shards(folder: Path) -> Shards:
    """Look into a ``transformers`` folder, of one file or of many, without reading any tensor.

    Parameters
    ----------
    folder : Path
        With ``model.safetensors``, or ``model.safetensors.index.json`` and the files that it names.

    Raises
    ------
    CheckpointError
        Naming every file that is missing, cut short or damaged, every tensor that the index names and its
        file does not hold, and what lies in the folder but would not be read.
    """
    folder = Path(folder)
    faults: list[str] = []
    tensors: dict[str, StoredTensor] = {}
    wanted = _wanted(folder)
    for file, names in wanted.items():
        try:
            held = read_header(folder / file)
        except CheckpointError as error:
            faults.append(str(error))
            continue
        lacking = sorted(set(names or ()) - set(held))
        if lacking:
            faults.append(
                f"{folder / file} does not hold {_short(lacking)}, which {folder / INDEX} says it does."
            )
        unlisted = sorted(set(held) - names) if names is not None else []
        if unlisted:
            faults.append(f"{folder / file} holds {_short(unlisted)}, which {folder / INDEX} does not list.")
        tensors |= held
    unread = sorted(
        path.name
        for path in folder.glob("*.safetensors")
        if path.name not in wanted and not path.name.startswith(ORIGINAL_FORMAT)
    )
    if unread:
        faults.append(
            f"{folder / unread[0]} does not belong to the weights"
            + (f" that {folder / INDEX} lists" if (folder / INDEX).is_file() else f" in {SINGLE}")
            + "; take it away, or give the folder that it belongs to."
        )
    if faults:
        raise CheckpointError(
            f"{folder} cannot be read as it is:\n" + "\n".join(f"  {fault}" for fault in faults)
        )
    return Shards(folder=folder, tensors=tensors)


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of one safetensors file by name, none of them read.

    Raises
    ------
    CheckpointError
        If the file is missing, its header is not readable or contradicts itself, or its size is not the one
        that the header tells.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = stream.read(length) if 2 <= length <= min(LARGEST_HEADER, size - 8) else b""
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing.") from None
    except OSError as error:
        raise CheckpointError(f"{path} could not be read: {error}.") from error
    try:
        entries: dict[str, Any] = json.loads(header)
        entries.pop("__metadata__", None)
        held = {name: _stored(path, name, entry, 8 + length) for name, entry in entries.items()}
        ends = {name: _size(entry["data_offsets"][1]) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        raise CheckpointError(
            f"{path} has no readable safetensors header; it is damaged, cut short, or of another format."
        ) from None
    _require_layout(path, held, ends, 8 + length, size)
    return held


def _stored(path: Path, name: str, entry: dict[str, Any], origin: int) -> StoredTensor:
    shape = tuple(_size(size) for size in entry["shape"])
    begin = origin + _size(entry["data_offsets"][0])
    return StoredTensor(name=name, path=path, dtype=str(entry["dtype"]), shape=shape, begin=begin)


def _size(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no size")
    return value


def _require_layout(
    path: Path, held: dict[str, StoredTensor], ends: dict[str, int], origin: int, size: int
) -> None:
    """Check that the tensors fill the file one behind the other."""
    position = origin
    for tensor in sorted(held.values(), key=lambda entry: (entry.begin, ends[entry.name])):
        if tensor.dtype not in DTYPES:
            raise CheckpointError(
                f"{path}: '{tensor.name}' is of type {tensor.dtype}; readable are {', '.join(DTYPES)}."
            )
        end = origin + ends[tensor.name]
        if tensor.begin != position or end != tensor.begin + tensor.nbytes:
            raise CheckpointError(
                f"{path}: the header gives '{tensor.name}' of shape {list(tensor.shape)} the bytes "
                f"{tensor.begin} to {end}, but it starts at {position} and takes {tensor.nbytes}; the header "
                "is damaged."
            )
        position = end
    if size != position:
        raise CheckpointError(
            f"{path} has {size:,} bytes, but its header tells {position:,}; it was "
            + ("cut short." if size < position else "changed.")
        )


def _wanted(folder: Path) -> dict[str, set[str] | None]:
    """Files to read, with the tensors to take from each; None for all."""
    if (folder / INDEX).is_file():
        content = read_json(folder / INDEX)
        placed = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(placed, dict) or not placed or not all(map(_is_file_name, placed.values())):
            raise CheckpointError(f"{folder / INDEX} has no usable 'weight_map'; it is damaged.")
        wanted: dict[str, set[str] | None] = {file: set() for file in sorted(set(placed.values()))}
        for name, file in placed.items():
            wanted[file].add(name)  # type: ignore[union-attr]
        return wanted
    if (folder / SINGLE).is_file():
        return {SINGLE: None}
    pickled = sorted(file.name for file in folder.glob("*.bin")) if folder.is_dir() else []
    raise CheckpointError(
        f"{folder} holds neither {SINGLE} nor {INDEX}"
        + (
            f"; {pickled[0]} is a pickle, which secateur does not open: save the model with "
            "safe_serialization first."
            if pickled
            else "; give a folder with a model's weights in safetensors files."
        )
    )


def _is_file_name(value: Any) -> bool:
    return isinstance(value, str) and value == Path(value).name and value.endswith(".safetensors")


def _short(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
