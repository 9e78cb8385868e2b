"""Variables of MATLAB files (versions 5 to 7.3), fields of structures included."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

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
from secateur.signals.sources.extras import required
from secateur.signals.sources.hdf5 import hdf5_containers, hdf5_value, hdf5_variables, is_hdf5
from secateur.signals.sources.orientation import channels_first, checked_range, require_real
from secateur.signals.sources.unpacking import require_plausible_size

_NUMBERS = {
    "double": 8, "single": 4, "int8": 1, "int16": 2, "int32": 4, "int64": 8,
    "uint8": 1, "uint16": 2, "uint32": 4, "uint64": 8,
}  # fmt: skip
_HEADER_BYTES = 128
LEAST_SAMPLES = 256
"""Shorter arrays in cells and rows of structures are settings."""


@dataclass(frozen=True)
class _Variable:
    shape: tuple[int, ...]
    kind: str


def mat_variables(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the variables in a MATLAB file, without reading their values."""
    return {name: variable.shape for name, variable in _variables(path).items()}


def _variables(path: Path) -> dict[str, _Variable]:
    require_regular_file(path)
    if is_hdf5(path):
        return {name: _Variable(shape, kind) for name, (shape, kind) in hdf5_variables(path).items()}
    scipy_io = required("scipy.io", f"{path} is a MATLAB file")
    try:
        _require_whole(path)
        listing = scipy_io.whosmat(path, appendmat=False)
    except Exception as error:  # scipy answers damaged files with many kinds of error
        raise _damaged(path, error) from None
    found = {}
    for name, shape, kind in listing:
        if kind in _NUMBERS:
            n_bytes = _NUMBERS[kind] * int(np.prod([int(n) for n in shape], dtype=object))
            require_plausible_size(n_bytes, path.stat().st_size, f"{path} [{name}]")
        found[name] = _Variable(tuple(shape), kind)
    return found


def _damaged(path: Path, error: Exception) -> DataError:
    reason = one_line(error)
    return DataError(f"{path} is not a whole MATLAB file ({reason}); fetch or copy it again.")


def _require_whole(path: Path) -> None:
    """Check that the elements of a version-5 file end where the file ends."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
        if header[126:128] not in (b"IM", b"MI"):
            return
        order = "<" if header[126:128] == b"IM" else ">"
        position = _HEADER_BYTES
        while position < size:
            stream.seek(position)
            tag = stream.read(8)
            length = struct.unpack(f"{order}II", tag)[1] if len(tag) == 8 else 0
            if len(tag) < 8 or position + 8 + length > size:
                raise ValueError(f"it ends in the middle of a variable, at byte {size}")
            position += 8 + length


def mat_value(path: Path, name: str) -> np.ndarray:
    """Return a variable, or a field of a structure written as ``structure.field``.

    Raises
    ------
    DataError
        If the file is damaged or has no such variable; the message lists what it has.
    """
    require_regular_file(path)
    if is_hdf5(path):
        return hdf5_value(path, name)
    variable, *fields = name.split(".")
    present = _variables(path)
    if name in present:
        variable, fields = name, []
    if variable not in present:
        raise missing_array(path, variable, tuple(present), "variable")
    value = _loaded(path, variable)
    for field in fields:
        named = _by_name(value)
        has = tuple(named) if named else getattr(value, "dtype", np.dtype(float)).names or ()
        if field not in has:
            raise DataError(
                f"{path} [{variable}] has no field '{field}'; it has: {', '.join(has) or 'none'}."
            )
        if not named and value.size != 1:
            raise DataError(
                f"{path} [{variable}] is a row of {value.size} structures; give each recording a variable of "
                "its own."
            )
        value = named[field] if named else value[field].reshape(-1)[0]
    if not isinstance(value, np.ndarray):
        raise DataError(
            f"{path} [{name}] is a sparse matrix or an object, not a full array; store it with full(...)."
        )
    return value


def _loaded(path: Path, variable: str) -> Any:
    scipy_io = required("scipy.io", f"{path} is a MATLAB file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # duplicate names in files of the 1990s: the last one counts
            return scipy_io.loadmat(path, variable_names=[variable], appendmat=False)[variable]
    except Exception as error:  # as above
        reason = one_line(error)
        raise DataError(f"{path} [{variable}] cannot be read ({reason}); fetch or copy it again.") from None


@lru_cache(maxsize=64)
def _numeric_shapes(path: Path, _mtime_ns: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of numbers, fields of single structures included."""
    shapes: dict[str, tuple[int, ...]] = {}
    hdf5 = is_hdf5(path)
    for name, variable in _variables(path).items():
        if variable.kind in _NUMBERS:
            shapes[name] = variable.shape
        elif variable.kind == "struct" and not hdf5 and int(np.prod(variable.shape)) == 1:
            shapes.update((each, value.shape) for each, value in _fields(name, _loaded(path, name)))
    return shapes


@lru_cache(maxsize=64)
def _containers(path: Path, _mtime_ns: int) -> tuple[str, ...]:
    """Return the names of cells and rows of structures in which long arrays of numbers lie."""
    if is_hdf5(path):
        return tuple(hdf5_containers(path, LEAST_SAMPLES))
    kinds = {name: variable.kind for name, variable in _variables(path).items()}
    opened = [name for name, kind in kinds.items() if kind in ("cell", "struct")]
    return tuple(found for name in opened for found in _walk_containers(name, _loaded(path, name)))


def _walk_containers(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, np.ndarray):
        return
    if value.dtype.names is not None and (value.size == 1 or _by_name(value)):
        for field in value.dtype.names:
            yield from _walk_containers(f"{name}.{field}", value[field].reshape(-1)[0])
    elif value.dtype.hasobject and _holds_long(value):
        yield name


def _holds_long(value: Any) -> bool:
    if not isinstance(value, np.ndarray):
        return False
    if value.dtype.names is not None:
        return any(_holds_long(value[field]) for field in value.dtype.names)
    if value.dtype.kind == "O":
        return any(map(_holds_long, value.reshape(-1)))
    return value.dtype.kind in "iuf" and value.size >= LEAST_SAMPLES


def _by_name(value: Any) -> dict[str, Any]:
    """Return the data of a row of structures that have a name and data each, as Paderborn's channels have."""
    if (
        not isinstance(value, np.ndarray)
        or value.size < 2
        or not {"Name", "Data"} <= {*(value.dtype.names or ())}
    ):
        return {}
    return {
        "".join(np.asarray(entry["Name"]).reshape(-1).astype(str)): entry["Data"]
        for entry in value.reshape(-1)
    }


def _fields(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Walk over the fields of a structure that are arrays of numbers."""
    if not isinstance(value, np.ndarray):
        return
    if value.dtype.names is None:
        if value.dtype.kind in "iufc":
            yield name, value
    elif named := _by_name(value):
        for each, data in named.items():
            yield from _fields(f"{name}.{each}", data)
    elif value.size == 1:
        for field in value.dtype.names:
            yield from _fields(f"{name}.{field}", value[field].reshape(-1)[0])


def mat_scalars(path: Path) -> dict[str, float]:
    """Return every single number of a MATLAB file by its name, such as ``fs`` or ``bearing.sr``."""
    shapes = _numeric_shapes(path, path.stat().st_mtime_ns)
    names = [name for name, shape in shapes.items() if int(np.prod(shape)) == 1]
    values = {name: mat_value(path, name).reshape(-1)[0] for name in names}
    return {name: float(value) for name, value in values.items() if not np.iscomplexobj(value)}


@dataclass(frozen=True)
class MatSource:
    """Variables of a MATLAB file as channels, decoded on first use and kept among the pieces used last.

    Parameters
    ----------
    path : Path
        The file.
    columns : tuple of str
        Names, one a channel, or one with several channels; ``structure.field`` enters a structure,
        ``name[1]`` is one channel of several.
    """

    path: Path
    columns: tuple[str, ...] = ()

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self._shapes)

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        require_regular_file(self.path)
        return _numeric_shapes(self.path, self.path.stat().st_mtime_ns)

    @cached_property
    def present(self) -> tuple[Column, ...]:
        """Every array of more than one number; cells and rows of structures that hold any have a fault."""
        shapes = {name: shape for name, shape in self._shapes.items() if np.prod(shape, dtype=float) > 1}
        closed = [
            Column(
                name=name,
                n_samples=0,
                fault=f"{self.path} [{name}] is a cell array or a row of structures and holds arrays of "
                "numbers; store each recording as a variable of its own.",
            )
            for name in _containers(self.path, self.path.stat().st_mtime_ns)
        ]
        return (*array_columns(shapes, self.path), *closed)

    @cached_property
    def _shape(self) -> tuple[int, int]:
        pieces = {name: self._decoded(name) for name in self.columns}
        lengths = {name: piece.shape[1] for name, piece in pieces.items()}
        n_channels = sum(piece.shape[0] for piece in pieces.values())
        return n_channels, require_equal_lengths(lengths, self.path, "variables")

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
        pieces = [self._decoded(name)[:, start:stop] for name in self.columns]
        return np.concatenate(pieces, axis=0).astype(np.float32, copy=False)

    def raw(self, number: int, start: int, stop: int) -> np.ndarray:
        """Return values ``start`` to ``stop`` of a column in the file's own type."""
        name, row = split_row(self.present[number].name, self._names)
        key = (self.path, self.path.stat().st_mtime_ns, name, "raw")
        value = PIECES.get(key, lambda: mat_value(self.path, name))
        if value.dtype.kind not in "iuf":
            return np.squeeze(value).reshape(-1)[start:stop]
        return np.array(channels_first(value, self.path, name)[row or 0, start:stop])

    def _decoded(self, name: str) -> np.ndarray:
        require_regular_file(self.path)
        key = (self.path, self.path.stat().st_mtime_ns, name)

        def decode() -> np.ndarray:
            array, row = split_row(name, self._names if "[" in name else (name,))
            value = mat_value(self.path, array)
            require_real(value.dtype, f"{self.path} [{array}]")
            table = channels_first(value, self.path, array)
            if row is not None and row >= len(table):
                raise missing_array(self.path, name, self._names, "channel")
            return (table if row is None else table[row : row + 1]).astype(np.float32)

        return PIECES.get(key, decode)
