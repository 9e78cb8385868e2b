"""Results as data: dataclasses to JSON and JSON lines."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Collection
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from secateur.core.documents import read_json_document
from secateur.core.errors import CheckpointError, DataError
from secateur.core.files import write_aside
from secateur.core.processes import one_writes

PIECE_BYTES = 1 << 16
LARGEST_RECORD = 256 << 20
"""Bytes; indices and plans of the largest models take a few million."""


def to_jsonable(value: Any) -> Any:
    """Turn dataclasses, arrays, paths and NumPy scalars into plain JSON values; NaN becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_jsonable(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): to_jsonable(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return to_jsonable(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        entries = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [to_jsonable(entry) for entry in entries]
    if isinstance(value, np.generic):
        return to_jsonable(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, aside first and then renamed."""
    with write_aside(path) as aside:
        aside.write_text(json.dumps(to_jsonable(value), indent=2) + "\n", encoding="utf-8")


def read_json(path: Path, keys: Collection[str] = ()) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path : Path
    keys : collection of str
        What must stand in it; none if it need not be an object.

    Raises
    ------
    CheckpointError
        If the file is missing, is not JSON or no regular file, is larger than ``LARGEST_RECORD`` or nested
        without end, or lacks a key.
    """
    try:
        value = read_json_document(path, limit=LARGEST_RECORD)
    except DataError as error:
        raise CheckpointError(str(error)) from None
    missing = [key for key in keys if not isinstance(value, dict) or key not in value]
    if missing:
        raise CheckpointError(f"{path} does not hold {', '.join(missing)}; it is damaged.")
    return value


def _after_last_line(lines: FileIO) -> bytes:
    """What a killed process left behind the last end of a line."""
    tail, begin = b"", lines.seek(0, os.SEEK_END)
    while begin and b"\n" not in tail:
        end, begin = begin, max(0, begin - PIECE_BYTES)
        lines.seek(begin)
        tail = lines.read(end - begin) + tail
    return tail.rpartition(b"\n")[2]


class JsonLines:
    """A file of one JSON record a line, written record by record so that a killed run keeps its past.

    Parameters
    ----------
    path : Path
        The file; created with the first record.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def append(self, record: Any) -> None:
        """Add one record and flush it."""
        with one_writes() as mine:
            if not mine:
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+", buffering=0) as lines:
                cut_short = _after_last_line(lines)
                end = lines.truncate(lines.seek(0, os.SEEK_END) - len(cut_short))
                try:
                    left = memoryview(json.dumps(to_jsonable(record)).encode() + b"\n")
                    while left:
                        left = left[lines.write(left) :]
                except OSError as error:
                    lines.truncate(end)
                    raise OSError(error.errno, error.strerror, str(self.path)) from error

    def clear(self) -> None:
        """Remove the file, if it is there."""
        with one_writes() as mine:
            if mine:
                self.path.unlink(missing_ok=True)

    def read(self) -> list[dict[str, Any]]:
        """Return all whole records; a last line that a kill cut short is passed over."""
        if not self.path.exists():
            return []
        records = []
        # what has no end of line was cut short, and goes with the next record
        for number, line in enumerate(self.path.read_bytes().split(b"\n")[:-1], start=1):
            try:
                records.append(json.loads(line))
            except (ValueError, RecursionError):
                raise CheckpointError(
                    f"{self.path} line {number} is not JSON; the file is damaged."
                ) from None
        return records
