"""Members of an NPZ file, integers with a scale factor included."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from secateur.core.documents import one_line, require_regular_file
from secateur.core.errors import DataError
from secateur.signals.sources.arrays import (
    array_columns,
    missing_array,
    require_equal_lengths,
    split_row,
)
from secateur.signals.sources.choice import Column
from secateur.signals.sources.decoded import PIECES
from secateur.signals.sources.npy_header import NpyHeader, read_npy_header
from secateur.signals.sources.orientation import channel_shape, channels_first, checked_range
from secateur.signals.sources.unpacking import require_plausible_size

_LOCAL_HEADER_BYTES = 30
_SCALE = "scale_"


@dataclass(frozen=True)
class _Member:
    name: str
    header: NpyHeader
    stored: bool
    file_offset: int


@contextmanager
def opened_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an NPZ file; whatever is wrong with it becomes a DataError."""
    require_regular_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (
        zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, struct.error, NotImplementedError,
        RuntimeError, OverflowError, MemoryError,
    ) as error:  # fmt: skip
        raise DataError(
            f"{path} is not a whole NPZ file ({one_line(error)}); fetch or copy it again."
        ) from None


def npz_scalars(path: Path) -> dict[str, float]:
    """Return every single number of an NPZ file by its name, such as ``sampling_rate_hz``."""
    single = {
        name: member.header
        for name, member in _layout_of(path).items()
        if member.header.dtype.kind in "iuf" and member.header.shape in ((), (1,), (1, 1))
    }
    with opened_npz(path) as archive:
        return {
            name: float(np.frombuffer(archive.read(f"{name}.npy"), header.dtype, 1, header.header_bytes)[0])
            for name, header in single.items()
        }


def _layout_of(path: Path) -> dict[str, _Member]:
    """Return every array of the file, without its values; members that are no arrays are passed over."""
    layout = {}
    with opened_npz(path) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            name = info.filename.removesuffix(".npy")
            if name in layout:
                raise ValueError(f"it holds '{name}' twice")
            stored = info.compress_type == zipfile.ZIP_STORED
            with archive.open(info) as stream:
                try:
                    header = read_npy_header(stream, available=info.file_size)
                except ValueError as error:
                    raise ValueError(f"array '{name}': {error}") from None
            if stored and info.header_offset + info.file_size > path.stat().st_size:
                raise ValueError(f"array '{name}' is cut short")
            require_plausible_size(header.n_bytes, info.compress_size, f"{path} [{name}]")
            layout[name] = _Member(name, header, stored, info.header_offset)
    return layout


def _decoded(path: Path, member: _Member) -> np.ndarray:
    """Unpack a whole member; objects are never loaded."""
    header = member.header
    if header.dtype.hasobject:
        return np.full(header.shape, "<object>", dtype=object)
    with opened_npz(path) as archive, archive.open(f"{member.name}.npy") as stream:
        stream.seek(header.header_bytes)
        content = stream.read(header.n_bytes)
        if len(content) < header.n_bytes:
            raise ValueError(f"array '{member.name}' is cut short")
        flat = np.frombuffer(content, header.dtype)
    return flat.reshape(header.shape, order="F" if header.fortran_order else "C")


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
    columns : tuple of str
        Names of the arrays, one a channel, or one with several channels; ``name[1]`` is one channel of
        several. Where an array ``scale_<name>`` lies beside ``<name>``, samples are multiplied by it.
    """

    path: Path
    columns: tuple[str, ...] = ()

    @cached_property
    def _layout(self) -> dict[str, _Member]:
        return _layout_of(self.path)

    @cached_property
    def present(self) -> tuple[Column, ...]:
        """Every array of more than one value; factors that belong to another array are none."""
        return array_columns(
            {
                name: member.header.shape
                for name, member in self._layout.items()
                if np.prod(member.header.shape, dtype=float) > 1
                and not (name.startswith(_SCALE) and name.removeprefix(_SCALE) in self._layout)
            },
            self.path,
        )

    @cached_property
    def _parts(self) -> tuple[tuple[_Member, int | None, np.float32], ...]:
        """Member, row and factor of each name."""
        parts = []
        for each in self.columns:
            name, row = split_row(each, tuple(self._layout))
            if name not in self._layout:
                raise missing_array(self.path, name, tuple(self._layout), "array")
            parts.append((self._layout[name], row, self._scale(name)))
        return tuple(parts)

    def _scale(self, name: str) -> np.float32:
        factor = self._layout.get(_SCALE + name)
        return np.float32(1.0 if factor is None else _decoded(self.path, factor).reshape(-1)[0])

    @cached_property
    def _shape(self) -> tuple[int, int]:
        n_channels, lengths = 0, {}
        for name, (member, row, _) in zip(self.columns, self._parts, strict=True):
            blank = np.broadcast_to(np.zeros((), member.header.dtype), member.header.shape)
            table = channels_first(blank, self.path, member.name)
            if row is not None and row >= len(table):
                raise missing_array(self.path, name, tuple(self._layout), "channel")
            n_channels, lengths[name] = n_channels + (len(table) if row is None else 1), table.shape[1]
        return n_channels, require_equal_lengths(lengths, self.path, "arrays")

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
        pieces = []
        for member, row, scale in self._parts:
            rows = slice(None) if row is None else slice(row, row + 1)
            pieces.append(self._table(member, start, stop)[rows].astype(np.float32) * scale)
        return np.concatenate(pieces, axis=0)

    def raw(self, number: int, start: int, stop: int) -> np.ndarray:
        """Return values ``start`` to ``stop`` of a column in the file's own type, or scaled by its factor."""
        name, row = split_row(self.present[number].name, tuple(self._layout))
        member = self._layout[name]
        if member.header.dtype.kind not in "iuf":
            rows, samples, turned = channel_shape(member.header.shape, f"{self.path} [{name}]")
            values = _decoded(self.path, member).reshape((samples, rows) if turned else (rows, samples))
            return (values.T if turned else values)[row or 0, start:stop]
        values = self._table(member, start, stop)[row or 0]
        scale = self._scale(name)
        return np.array(values) if scale == 1 else values.astype(np.float64) * scale

    def _table(self, member: _Member, start: int, stop: int) -> np.ndarray:
        header = member.header
        if member.stored:
            return channels_first(self._mapped(member), self.path, member.name)[:, start:stop]
        if header.n_bytes > PIECES.capacity_bytes and len(header.shape) == 1:
            channels_first(np.broadcast_to(np.zeros((), header.dtype), header.shape), self.path, member.name)
            return self._streamed(member, start, stop)[np.newaxis]
        key = (self.path, self.path.stat().st_mtime_ns, member.name)
        whole = PIECES.get(key, lambda: _decoded(self.path, member))
        return channels_first(whole, self.path, member.name)[:, start:stop]

    def _mapped(self, member: _Member) -> np.ndarray:
        with self.path.open("rb") as stream:
            stream.seek(member.file_offset)
            local = stream.read(_LOCAL_HEADER_BYTES)
        name_bytes, extra_bytes = struct.unpack("<HH", local[26:30])
        header = member.header
        offset = member.file_offset + _LOCAL_HEADER_BYTES + name_bytes + extra_bytes + header.header_bytes
        order: Literal["F", "C"] = "F" if header.fortran_order else "C"
        try:
            return np.memmap(self.path, header.dtype, "r", offset=offset, shape=header.shape, order=order)
        except (ValueError, OSError) as error:
            raise DataError(
                f"{self.path} is not a whole NPZ file ({one_line(error)}); fetch or copy it again."
            ) from None

    def _streamed(self, member: _Member, start: int, stop: int) -> np.ndarray:
        size = member.header.dtype.itemsize
        with opened_npz(self.path) as archive, archive.open(f"{member.name}.npy") as stream:
            stream.seek(member.header.header_bytes + start * size)
            return np.frombuffer(stream.read((stop - start) * size), member.header.dtype)
