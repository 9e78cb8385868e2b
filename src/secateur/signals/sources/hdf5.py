"""MATLAB files of version 7.3, which are HDF5 inside; needs the extra ``formats``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.documents import one_line
from secateur.core.errors import DataError
from secateur.signals.sources.arrays import missing_array
from secateur.signals.sources.extras import required
from secateur.signals.sources.unpacking import require_plausible_size

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_OFFSETS = (0, 512)
"""MATLAB puts its own 512 bytes first."""


def is_hdf5(path: Path) -> bool:
    """Say whether a file is HDF5, as MATLAB writes with ``-v7.3``."""
    with path.open("rb") as stream:
        beginning = stream.read(_OFFSETS[-1] + len(_SIGNATURE))
    return beginning.startswith(b"MATLAB 7.3") or any(
        beginning[at : at + len(_SIGNATURE)] == _SIGNATURE for at in _OFFSETS
    )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    h5py = required("h5py", f"{path} is a MATLAB 7.3 (HDF5) file")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, ValueError, KeyError, OverflowError) as error:
        raise DataError(
            f"{path} is not a whole MATLAB 7.3 file ({one_line(error)}); fetch or copy it again."
        ) from None


def _datasets(file: Any, path: Path) -> dict[str, Any]:
    """Return arrays by name, ``structure.field`` for those in groups, without MATLAB's own references."""
    h5py = required("h5py", str(path))
    found: dict[str, Any] = {}

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and not name.startswith("#"):
            found[name.replace("/", ".")] = node

    file.visititems(visit)
    return found


def hdf5_variables(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and MATLAB class of every array, fields of structures as ``structure.field``."""
    with _opened(path) as file:
        variables = {}
        for name, node in _datasets(file, path).items():
            kind = _class_of(node)
            if not kind and node.dtype.kind in "iuf":
                kind = "double"
            if "MATLAB_sparse" in node.parent.attrs:
                kind = "sparse"
            if "MATLAB_empty" in node.attrs:
                continue
            if node.dtype.kind in "iuf":
                n_bytes = int(node.size) * node.dtype.itemsize
                require_plausible_size(n_bytes, node.id.get_storage_size(), f"{path} [{name}]")
            # MATLAB counts axes the other way round
            variables[name] = (tuple(reversed(node.shape)), kind)
        return variables


def _class_of(node: Any) -> str:
    """Return the MATLAB class of a data set; empty where another program wrote it."""
    kind = node.attrs.get("MATLAB_class", b"")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def hdf5_containers(path: Path, least: int) -> list[str]:
    """Return the names of cells and rows of structures in which arrays of ``least`` numbers or more lie."""
    h5py = required("h5py", str(path))

    def is_container(node: Any) -> bool:
        return h5py.check_ref_dtype(node.dtype) is not None

    def is_long(node: Any, seen: set[str]) -> bool:
        if node.name in seen:
            return False
        seen.add(node.name)
        if not isinstance(node, h5py.Dataset):
            return any(is_long(each, seen) for each in node.values())
        if is_container(node):
            cells = np.ravel(node[()])
            return any(is_long(node.file[reference], seen) for reference in cells if reference)
        return bool(node.dtype.kind in "iuf" and node.size >= least and _class_of(node) != "char")

    with _opened(path) as file:
        found = _datasets(file, path).items()
        return [name for name, node in found if is_container(node) and is_long(node, set())]


def hdf5_value(path: Path, name: str) -> np.ndarray:
    """Return an array of a version 7.3 file, its axes as MATLAB has them.

    Raises
    ------
    DataError
        If there is none of that name, or it holds complex numbers or references.
    """
    with _opened(path) as file:
        present = _datasets(file, path)
        if name not in present:
            raise missing_array(path, name, tuple(present), "variable")
        node = present[name]
        if node.dtype.names == ("real", "imag"):
            return np.empty(node.shape[::-1], np.complex128)
        if node.dtype.kind not in "iuf":
            raise DataError(f"{path} [{name}] holds no numbers; a waveform must be real numbers.")
        return np.asarray(node[()]).T
