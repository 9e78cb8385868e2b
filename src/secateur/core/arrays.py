"""Read NPZ files that others wrote, where names, types and shapes of all arrays are known beforehand.

A small file can describe enormous arrays, by its compression or by a header alone. Nothing is unpacked before
its header has been compared with what is expected.
"""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from secateur.core.errors import DataError

HEADER_BYTES = 4096
"""Most that stands before the values of an array; plain ones take 128."""

DAMAGE = (
    ArithmeticError,
    BadZipFile,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
)
"""What the readers of ZIP and NPY raise on bytes that are not theirs."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """An array as it must be.

    Attributes
    ----------
    dtype : str
        As NumPy writes it, such as ``<f4``.
    shape : tuple of int
    """

    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def read_arrays(
    content: bytes, expected: Mapping[str, Expected], place: Path | str, *, limit: int
) -> dict[str, np.ndarray]:
    """Return the arrays of an NPZ file.

    Parameters
    ----------
    content : bytes
        The file.
    expected : mapping of str to Expected
        Every array by its name.
    place : Path or str
        Names the file in messages.
    limit : int
        Most bytes of all values together.

    Raises
    ------
    DataError
        If it is damaged, holds other arrays, or they are larger than the limit.
    """
    if sum(array.nbytes for array in expected.values()) > limit:
        raise DataError(f"{place}: arrays of more than {limit >> 20} MiB are described; no more are read.")
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            names = sorted(archive.namelist())
            if names != sorted(f"{name}.npy" for name in expected):
                raise DataError(
                    f"{place} holds {len(names)} arrays ({_first(names)}); expected {', '.join(expected)}."
                )
            return {name: _read(archive, name, array, place) for name, array in expected.items()}
    except DAMAGE as error:
        raise DataError(f"{place} is damaged: {type(error).__name__}, {str(error)[:200]}.") from None


def _read(archive: ZipFile, name: str, expected: Expected, place: Path | str) -> np.ndarray:
    with archive.open(f"{name}.npy") as stream:
        # whatever the archive says of its size, no more is unpacked than the array needs
        content = io.BytesIO(stream.read(HEADER_BYTES + expected.nbytes + 1))
    version = np.lib.format.read_magic(content)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, fortran, dtype = read_header(content, max_header_size=HEADER_BYTES)
    if (dtype.str, shape) != (expected.dtype, expected.shape):
        raise DataError(
            f"{place}: '{name}' is {dtype.str} of shape {str(shape)[:100]}; expected {expected.dtype} of "
            f"shape {expected.shape}."
        )
    values = content.read()
    if len(values) != expected.nbytes:
        raise DataError(f"{place}: '{name}' has {len(values)} bytes of values; expected {expected.nbytes}.")
    return np.frombuffer(values, dtype=dtype).reshape(shape, order="F" if fortran else "C").copy()


def _first(names: list[str], most: int = 5) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:most])
    return f"{shown}, ..." if len(names) > most else shown
