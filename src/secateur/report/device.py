"""Limits of the device in words: what was allowed, predicted and measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def in_words(name: str, entry: Mapping[str, Any]) -> str:
    """Return one line on one limit."""
    unit = entry["unit"]
    said = f"{name}: {entry['predicted']:.4g} {unit} predicted, {entry['most']:g} {unit} allowed"
    if entry["measured"] is None:
        return f"{said}; not measured, since this system does not tell"
    said += f", {entry['measured']:.4g} {unit} measured"
    if entry.get("low") is not None:
        said += f" ({entry['low']:.4g} to {entry['high']:.4g} over turns)"
    endings = {
        "kept": "kept",
        "within noise": "more than allowed, within the noise of this machine",
        "broken": "more than allowed; ask for less, or measure a new table",
        "other machine": "of another machine than the table's, so that it says nothing of the limit",
    }
    return f"{said}: {endings[entry['verdict']]}"
