"""The measurement of a run's models on one machine, for the report."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.figure import Figure

from secateur.core.records import read_json
from secateur.core.svg import save_svg
from secateur.report.figures.bench import (
    latency_figure,
    memory_figure,
    milliseconds,
    ratio_figure,
)
from secateur.report.numbers import MISSING, percent, size, times

RECORD = Path("bench") / "bench.json"
MIB = 2**20


def read_bench(folder: Path) -> Mapping[str, Any] | None:
    """Return what ``secateur bench --out RUN/bench`` measured; None if it was not called.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    path = Path(folder) / RECORD
    return read_json(path) if path.exists() else None


def bench_section(bench: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the rows and pictures of a measurement."""
    if bench is None:
        return None
    return {
        "threads": bench["threads"],
        "groups": [_group(group) for group in bench["groups"]],
        "notes": bench["notes"],
        "machine": bench["provenance"]["machine"],
    }


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    figures = {
        "latency": latency_figure(group),
        "memory": memory_figure(group),
        "what was gained": ratio_figure(group),
    }
    return {
        "title": "one window" if group["tokens"] is None else f"{group['tokens']} tokens",
        "models": [_row(model) for model in group["models"]],
        "comparisons": [_comparison(entry) for entry in group["comparisons"]],
        "pictures": {name: _address(figure) for name, figure in figures.items() if figure is not None},
    }


def _row(model: Mapping[str, Any]) -> dict[str, str]:
    wall, memory, roofline = model["wall_ms"], model["memory"], model["roofline"]
    return {
        "name": model["name"],
        **{rank: f"{milliseconds(wall[rank])} ms" for rank in ("p50", "p90", "p99")},
        "processor": f"{milliseconds(model['cpu_ms']['p50'])} ms",
        "cold_start": f"{median(model['cold_starts_s']):.2f} s",
        "imports": f"{memory['imported'] / MIB:.0f} MiB" if memory else MISSING,
        "peak": f"{memory['peak'] / MIB:.0f} MiB" if memory else MISSING,
        "files": size(model["stored_bytes"]),
        "bound": percent(roofline["share"], 0) if roofline else MISSING,
    }


def _comparison(entry: Mapping[str, Any]) -> dict[str, str]:
    return {
        "base": entry["base"],
        "model": entry["model"],
        **{
            clock: f"{times(entry[clock]['value'])} ({entry[clock]['low']:.3g} to {entry[clock]['high']:.3g})"
            for clock in ("cpu", "wall")
        },
        **{name: times(entry[name]) for name in ("above_import", "peak", "stored")},
    }


def _address(figure: Figure) -> str:
    stored = BytesIO()
    save_svg(figure, stored, "report")
    return f"data:image/svg+xml;base64,{base64.b64encode(stored.getvalue()).decode()}"
