"""Members of an NPZ file, integers with a scale factor included."""

from __future__ import annotations

import ast
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np

from secateur.core.errors import DataError
from secateur.signals.sources.decoded import PIECES
from secateur.signals.sources.orientation import channels_first, checked_range

_LOCAL_HEADER_BYTES = 30


@dataclass(frozen=True)
class _Member:
    dtype: np.dtype
    shape: tuple[int, ...]
    fortran_order: bool
    stored: bool
    file_offset: int
    header_bytes: int

    @property
    def n_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@contextmanager
def opened_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an NPZ file; whatever is wrong with it becomes a DataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise DataError(f"{path} is missing.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise DataError(f"{path} is not a whole NPZ file ({error}); fetch or copy it again.") from None


def npz_members(path: Path) -> tuple[str, ...]:
    """Names of the arrays in an NPZ file."""
    with opened_npz(path) as archive:
        return tuple(name.removesuffix(".npy") for name in archive.namelist())


def npz_scalar(path: Path, name: str) -> float | None:
    """Return a scalar member, or None if there is none of that name."""
    if name not in npz_members(path):
        return None
    with opened_npz(path), np.load(path, allow_pickle=False) as arrays:
        return float(np.asarray(arrays[name]).reshape(-1)[0])


def _read_npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Read the header of the NPY format, all versions (numpy.lib.format), and say how long it is."""
    magic = stream.read(8)
    if len(magic) < 8 or magic[:6] != b"\x93NUMPY":
        raise ValueError("a member is not in NPY format")
    width, code = (2, "<H") if magic[6] == 1 else (4, "<I")
    (length,) = struct.unpack(code, stream.read(width))
    header = ast.literal_eval(stream.read(length).decode("utf-8"))
    return header["shape"], header["fortran_order"], np.dtype(header["descr"]), 8 + width + length


@dataclass(frozen=True)
class NpzSource:
    """Arrays of an NPZ file as channels.

    A member that is stored uncompressed is mapped into memory and only the asked part is read. A
    compressed one is decoded once and kept among the pieces used last; one larger than that store
    is decoded anew, but only as far as needed and never held whole.

    Parameters
    ----------
    path : Path
        The file.
    members : tuple of str
        Names of the arrays, one a channel, or one with several channels. Where an array
        ``scale_<name>`` lies beside ``<name>``, samples are multiplied by it.
    """

    path: Path
    members: tuple[str, ...]

    @cached_property
    def _layout(self) -> dict[str, _Member]:
        layout = {}
        with opened_npz(self.path) as archive:
            entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            for name in self.members:
                if name not in entries:
                    raise DataError(
                        f"{self.path} has no array '{name}'; it has: {', '.join(sorted(entries))}."
                    )
                info = entries[name]
                with archive.open(info) as stream:
                    shape, fortran_order, dtype, header_bytes = _read_npy_header(stream)
                layout[name] = _Member(
                    dtype,
                    shape,
                    fortran_order,
                    info.compress_type == zipfile.ZIP_STORED,
                    info.header_offset,
                    header_bytes,
                )
        return layout

    @cached_property
    def _scales(self) -> dict[str, np.float32]:
        present = npz_members(self.path)
        scales = {}
        for name in self.members:
            scale = npz_scalar(self.path, f"scale_{name}") if f"scale_{name}" in present else None
            scales[name] = np.float32(1.0 if scale is None else scale)
        return scales

    @cached_property
    def _shape(self) -> tuple[int, int]:
        empty = [
            channels_first(np.broadcast_to(np.zeros((), member.dtype), member.shape), self.path, name)
            for name, member in self._layout.items()
        ]
        lengths = {table.shape[1] for table in empty}
        if len(lengths) > 1:
            raise DataError(
                f"{self.path}: the arrays {', '.join(self.members)} have lengths {sorted(lengths)}; "
                "channels of one recording must be equally long."
            )
        return sum(table.shape[0] for table in empty), lengths.pop()

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return self._shape[0]

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return self._shape[1]

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples ``start`` to ``stop`` as float32 of shape (channels, stop - start)."""
        start, stop = checked_range(start, stop, self.n_samples, self.path)
        pieces = [
            self._table(name, member, start, stop).astype(np.float32) * self._scales[name]
            for name, member in self._layout.items()
        ]
        return np.concatenate(pieces, axis=0)

    def _table(self, name: str, member: _Member, start: int, stop: int) -> np.ndarray:
        if member.stored:
            return channels_first(self._mapped(member), self.path, name)[:, start:stop]
        if member.n_bytes > PIECES.capacity_bytes and len(member.shape) == 1:
            return self._streamed(name, member, start, stop)[np.newaxis]
        key = (self.path, self.path.stat().st_mtime_ns, name)
        return channels_first(PIECES.get(key, lambda: self._decoded(name)), self.path, name)[:, start:stop]

    def _mapped(self, member: _Member) -> np.ndarray:
        with self.path.open("rb") as stream:
            stream.seek(member.file_offset)
            local = stream.read(_LOCAL_HEADER_BYTES)
        name_bytes, extra_bytes = struct.unpack("<HH", local[26:30])
        offset = member.file_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes + member.header_bytes
        order = "F" if member.fortran_order else "C"
        return np.memmap(self.path, member.dtype, "r", offset=offset, shape=member.shape, order=order)

    def _decoded(self, name: str) -> np.ndarray:
        with opened_npz(self.path), np.load(self.path, allow_pickle=False) as arrays:
            return arrays[name]

    def _streamed(self, name: str, member: _Member, start: int, stop: int) -> np.ndarray:
        size = member.dtype.itemsize
        with opened_npz(self.path) as archive, archive.open(f"{name}.npy") as stream:
            stream.seek(member.header_bytes + start * size)
            return np.frombuffer(stream.read((stop - start) * size), member.dtype)
