"""Where a result comes from: versions, command, machine."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RECORDED_PACKAGES = (
    "secateur",
    "numpy",
    "scipy",
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "scikit-learn",
    "onnx",
    "onnxruntime",
    "onnxscript",
)
UNRECORDED = ("--json", "--overwrite")
"""Switches on which no result depends."""


_arguments: ContextVar[tuple[str, ...] | None] = ContextVar("arguments", default=None)


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[None]:
    """Let results made inside the block record this command of ``secateur``."""
    token = _arguments.set(tuple(arguments))
    try:
        yield
    finally:
        _arguments.reset(token)


def command_line() -> str:
    """Return the running command as a shell takes it, without switches that do not alter its result."""
    arguments = _arguments.get()
    if arguments is None:
        return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return shlex.join(["secateur", *(part for part in arguments if part not in UNRECORDED)])


def versions() -> dict[str, str]:
    """Return the version of Python and of every recorded package that is installed."""
    from importlib import metadata  # late, so that help comes at once

    found = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def provenance(*, command: str | None = None, seed: int | None = None) -> dict[str, Any]:
    """Return what is needed to run a result again: command, seed, versions, machine, time (UTC)."""
    return {
        "command": command if command is not None else command_line(),
        "seed": seed,
        "versions": versions(),
        "machine": {
            "platform": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cpu_count": os.cpu_count(),
        },
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
