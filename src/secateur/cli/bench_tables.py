"""Measurements on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from secateur.cli.console import Console
from secateur.report.figures.bench import milliseconds
from secateur.report.numbers import MISSING, percent, size, times

MIB = 2**20


def print_bench(result: Mapping[str, Any], out: Path | None) -> None:
    """Show what ``secateur bench`` measured."""
    console = Console()
    for group in result["groups"]:
        at = "one window" if group["tokens"] is None else f"{group['tokens']} tokens"
        console.print(_times(group, f"{at}, batch 1, {result['threads']} thread(s), ms"))
        console.print(_memory(group))
        for model in group["models"]:
            if (energy := model["energy"])["joules"] is not None:
                console.print(
                    f"{model['name']}: {1e3 * energy['joules']:.3g} mJ {energy['state']}, {energy['note']}"
                )
        for base in dict.fromkeys(entry["base"] for entry in group["comparisons"]):
            console.print(_comparisons(group, base))
    rates = result["rates"]
    if rates:
        fastest, slowest = max(rates["bandwidths"]), rates["bandwidths"][-1]
        console.print(
            f"this machine: {fastest / 1e9:.0f} GB/s from its caches, {slowest / 1e9:.0f} GB/s from memory, "
            f"{rates['float_rate'] / 1e9:.0f} GFLOP/s in float32, {rates['integer_rate'] / 1e9:.0f} Gop/s in "
            "int8. Bound: the share reached of weights over bandwidth plus operations over rate."
        )
    for note in result["notes"]:
        console.print(note)
    if out is not None:
        console.print(f"bench.json and figures: {out}", soft_wrap=True)


def _times(group: Mapping[str, Any], title: str) -> Table:
    table = _table(title, "CPU p50", "wall p50", "wall p90", "wall p99", "per s", "cold start", "bound")
    for model in group["models"]:
        wall, roofline = model["wall_ms"], model["roofline"]
        table.add_row(
            model["name"],
            milliseconds(model["cpu_ms"]["p50"]),
            *(milliseconds(wall[rank]) for rank in ("p50", "p90", "p99")),
            f"{model['throughput_per_s']:.4g}",
            f"{median(model['cold_starts_s']):.2f} s",
            percent(roofline["share"], 0) if roofline else MISSING,
        )
    return table


def _memory(group: Mapping[str, Any]) -> Table:
    table = _table("resident memory, MiB", "imports", "loaded", "steady", "peak", "with signals", "files")
    for model in group["models"]:
        memory, diagnosis = model["memory"], model["diagnosis"]
        phases = ("imported", "loaded", "steady", "peak")
        table.add_row(
            model["name"],
            *(f"{memory[phase] / MIB:.0f}" if memory else MISSING for phase in phases),
            f"{diagnosis['peak'] / MIB:.0f}" if diagnosis and diagnosis["peak"] else MISSING,
            size(model["stored_bytes"]),
        )
    return table


def _comparisons(group: Mapping[str, Any], base: str) -> Table:
    table = _table(
        f"times less than {base} (95 % interval over turns)",
        "CPU time",
        "wall time",
        "peak above imports",
        "peak",
        "files",
    )
    for entry in (entry for entry in group["comparisons"] if entry["base"] == base):
        table.add_row(
            entry["model"],
            *(
                f"{times(entry[clock]['value'])} ({entry[clock]['low']:.3g} to {entry[clock]['high']:.3g})"
                for clock in ("cpu", "wall")
            ),
            times(entry["above_import"]),
            times(entry["peak"]),
            times(entry["stored"]),
        )
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title)
    table.add_column("model", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
