"""Where a result comes from: versions, command, machine."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
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


def versions() -> dict[str, str]:
    """Return the version of Python and of every recorded package that is installed."""
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
        "command": command if command is not None else " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "seed": seed,
        "versions": versions(),
        "machine": {
            "platform": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cpu_count": os.cpu_count(),
        },
        "time_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
