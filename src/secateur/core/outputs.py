"""The place of a command's result: nobody else works there, and no former result is lost unasked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secateur.core.errors import ConfigError
from secateur.core.files import require_replaceable
from secateur.core.locks import sole_writer
from secateur.core.provenance import command_line

CHECKPOINT_RECORDS = ("secateur.json", "config.json")
"""Files of a checkpoint that tell its origin, for transformers and for Diagnosers."""

RECORD_LIMIT = 64 * 2**20
"""Bytes of a record that is searched for the command that made it."""


@contextmanager
def result_at(out: Path | None, *, marker: str | None = None, overwrite: bool = False) -> Iterator[None]:
    """Keep the place of a result for one command while it works.

    Parameters
    ----------
    out : Path or None
        File or folder to write; None where the command only tells its result.
    marker : str, optional
        Name of the file by which a folder is known as a result of this kind; None for a file.
    overwrite : bool, default False
        Whether the result of another command may be replaced. That of the very same command always may.

    Raises
    ------
    ConfigError
        If another process works at ``out``, or it holds something else, or the result of another command
        and ``overwrite`` is not given.
    """
    if out is None:
        yield
        return
    out = Path(out)
    with sole_writer(out):
        if marker is not None:
            require_replaceable(out, marker)
        if not overwrite:
            _require_same_command(out, marker)
        yield


def _require_same_command(out: Path, marker: str | None) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    records = [out] if marker is None else [out / name for name in (marker, *CHECKPOINT_RECORDS)]
    former = next((command for record in records if (command := recorded_command(record))), None)
    if former == command_line():
        return
    told = "something else" if former is None else f"the result of '{former}'"
    raise ConfigError(
        f"{out} holds {told}; add --overwrite to replace it, or choose another place for --out."
    )


def recorded_command(record: Path) -> str | None:
    """Return the command that made a result, as its record tells it; None where it does not."""
    try:
        if record.stat().st_size > RECORD_LIMIT:
            return None
        return _command_in(json.loads(record.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None


def _command_in(content: Any) -> str | None:
    """A record tells its origin itself, or in its provenance, its lineage or its metadata."""
    if not isinstance(content, dict):
        return None
    if isinstance(content.get("command"), str):
        return content["command"]
    found = (_command_in(content.get(name)) for name in ("provenance", "lineage", "metadata"))
    return next((command for command in found if command is not None), None)
