"""The header of an NPY array, read with distrust: what it says must fit the bytes that are there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.lib import format as npy_format

from secateur.core.documents import one_line

_READERS = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}


@dataclass(frozen=True)
class NpyHeader:
    """Layout of one stored array.

    Parameters
    ----------
    dtype : dtype
    shape : tuple of int
    fortran_order : bool
    header_bytes : int
        Where the values begin.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran_order: bool
    header_bytes: int

    @property
    def n_bytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy_header(stream: IO[bytes], *, available: int) -> NpyHeader:
    """Read the header at the beginning of a stream.

    Parameters
    ----------
    stream : binary stream
    available : int
        Bytes that the array takes, header included.

    Raises
    ------
    ValueError
        If it is no NPY header, or describes more than is there.
    """
    try:
        version = npy_format.read_magic(stream)
        if version not in _READERS:
            raise ValueError(f"its version is {version}; arrays of numbers are of version (1, 0) or (2, 0)")
        shape, fortran_order, dtype = _READERS[version](stream)
    except Exception as error:  # numpy answers strange headers with many kinds of error
        reason = one_line(error)
        raise ValueError(f"its header cannot be read: {reason}") from None
    header = NpyHeader(dtype, shape, fortran_order, stream.tell())
    if any(isinstance(length, bool) or length < 0 for length in shape):
        raise ValueError(f"its header gives the shape {shape}")
    if not dtype.hasobject and header.header_bytes + header.n_bytes > available:
        raise ValueError(
            f"its header describes {header.n_bytes} bytes of samples, {available - header.header_bytes} are "
            "there"
        )
    return header
