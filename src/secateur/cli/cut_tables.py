"""A cut model on the screen, beside the one it was cut from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from secateur.cli.console import Console
from secateur.cli.tables import stage_table
from secateur.report.numbers import count, decimal, duration, percent, size, times, with_interval
from secateur.report.sia import sentence
from secateur.report.tables import comparisons, tokens_note


def print_cut(result: Mapping[str, Any]) -> None:
    """Show what a cut took away and how the result is loaded."""
    console = Console()
    console.print(cut_table(result["dense"], result["pruned"], result["model_class"], result["family"]))
    before, after = result["dense"]["block_parameters"], result["pruned"]["block_parameters"]
    console.print(
        f"{times(result['ratio'])} fewer {result['counted']}, {percent(1 - after / before)} of the blocks' "
        "parameters "
        f"({duration(result['seconds'])})"
    )
    if result.get("refit"):
        fitted = result["refit"]
        console.print(
            f"{fitted['adopted']} of {len(fitted['projections'])} output projections re-fitted on "
            f"{fitted['windows']} blocks of text"
        )
    if result.get("reason"):
        console.print(result["reason"])
    if result.get("standings"):
        _print_standings(console, result)
    for way in result["loads_with"]:
        console.print(f"load with: {way}", highlight=False)
    if result["not_plain_because"]:
        console.print(
            f"not a plain transformers folder: {result['not_plain_because']}{_way_to_plain(result)}"
        )
    console.print(f"checkpoint: {result['checkpoint']}", soft_wrap=True)


def print_model_run(result: Mapping[str, Any], out: Path) -> None:
    """Show what a run on a trained model came to."""
    console = Console()
    console.print(cut_table(result["dense"], result["pruned"], result["model_class"], result["family"]))
    if result.get("sia"):
        console.print(f"before cutting: {sentence(result['sia'])}", highlight=False)
    if result["stages"]:
        console.print(stage_table(result["stages"]))
    if result.get("reason"):
        console.print(result["reason"])
    _print_standings(console, result)
    if result["no_bundle_because"]:
        console.print(f"no bundle: {result['no_bundle_because']}")
    saved = f"{times(result['ratio'])} fewer {result['counted']}"
    console.print(f"{saved}; report: {out / 'report.html'}", soft_wrap=True)


def _way_to_plain(result: Mapping[str, Any]) -> str:
    """Advise equal widths where units were removed and widths could differ."""
    settings = result["settings"]
    if result["criterion"] is None or settings["uniform"] or settings["search"]["hand"] is not None:
        return ""
    needed = "--uniform" if result["method"] == "rounds" else "--method rounds --uniform"
    return f" ({needed} keeps widths equal)"


def _print_standings(console: Console, result: Mapping[str, Any]) -> None:
    console.print(standings_table(result["standings"]))
    if (note := tokens_note(result)) is not None:
        console.print(note, highlight=False)


def cut_table(dense: Mapping[str, Any], pruned: Mapping[str, Any], model_class: str, family: str) -> Table:
    """Return figures before and after as a table."""
    table = Table(title=f"{model_class}, family {family}")
    for heading in ("", "before", "after", "share"):
        table.add_column(heading, justify="right" if heading else "left")
    numbers: dict[str, tuple[str, Callable[[Any], str]]] = {
        "parameters": ("parameters", count),
        "in the blocks": ("block_parameters", count),
        "FLOPs/token, context 512": ("flops_per_token", count),
        "weights": ("bytes", size),
        "layers": ("layers", str),
        "tokens": ("tokens", str),
    }
    for name, (key, text) in numbers.items():
        if dense[key]:
            table.add_row(name, text(dense[key]), text(pruned[key]), percent(pruned[key] / dense[key]))
    widths = {"heads a layer": "heads", "KV groups a layer": "groups", "channels a layer": "channels"}
    for name, key in widths.items():
        before, after = dense[key], pruned[key]
        share = sum(after) / len(after) / (sum(before) / len(before))
        table.add_row(name, _range(before), _range(after), percent(share))
    return table


def standings_table(standings: Mapping[str, Any]) -> Table:
    """Return what dense and cut model are worth on data that took no part, beside the control."""
    table = Table(title="on the part of the data that nothing was fitted to")
    names = [name for name in standings["dense"]["figures"] if name not in ("parameters", "loss", "kl")]
    beside = comparisons(standings)
    for heading in ("", *(name.replace("_", " ") for name in names), *beside.values()):
        table.add_column(heading, justify="right" if heading else "left")
    for name, standing in standings.items():
        table.add_row(
            name,
            *(decimal(standing["figures"][figure]) for figure in names),
            *(with_interval(standing[key]) for key in beside),
        )
    return table


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}–{high}"
