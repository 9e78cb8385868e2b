"""Arrays of a file (NPZ, MAT) as columns: an array of several channels gives one column each."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from secateur.core.errors import DataError
from secateur.signals.sources.choice import Column, listed
from secateur.signals.sources.orientation import channel_shape

_ROW = re.compile(r"^(.*)\[(\d+)\]$", re.DOTALL)


def array_columns(shapes: Mapping[str, tuple[int, ...]], path: Path) -> tuple[Column, ...]:
    """Return the columns of some arrays: ``x`` for one channel, ``x[0]``, ``x[1]``, ... for several.

    An array that can be no recording, stacked windows for instance, is one column with a fault.
    """
    columns: list[Column] = []
    for name, shape in shapes.items():
        try:
            rows, samples, _ = channel_shape(shape, f"{path} [{name}]")
        except DataError as error:
            columns.append(Column(name=name, n_samples=math.prod(shape), fault=str(error)))
            continue
        names = [name] if rows == 1 else [f"{name}[{row}]" for row in range(rows)]
        columns += [Column(name=each, n_samples=samples) for each in names]
    return tuple(columns)


def split_row(name: str, present: Sequence[str]) -> tuple[str, int | None]:
    """Return array and row of a column: ``("x", 1)`` for ``x[1]``, ``("x", None)`` for a whole array."""
    found = None if name in present else _ROW.match(name)
    return (found[1], int(found[2])) if found else (name, None)


def require_equal_lengths(lengths: Mapping[str, int], path: Path, what: str) -> int:
    """Return the length that all channels have.

    Raises
    ------
    DataError
        If they differ.
    """
    found = set(lengths.values())
    if len(found) > 1:
        raise DataError(
            f"{path}: the {what} {', '.join(lengths)} have lengths {', '.join(map(str, sorted(found)))}; "
            "channels of one recording must be equally long."
        )
    return found.pop()


def missing_array(path: Path, name: str, present: Sequence[str], what: str) -> DataError:
    """Return the error that a file lacks an array, naming what it has."""
    columns = [Column(name=each, n_samples=0) for each in sorted(present)]
    return DataError(f"{path} has no {what} '{name}'; it has: {listed(columns)}.")
