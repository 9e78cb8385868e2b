"""The units of a model on the screen; layers that are alike share a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from secateur.cli.console import Console, headed
from secateur.cli.counted import counted
from secateur.report.numbers import MISSING, count, percent, ranges, size, times

if TYPE_CHECKING:
    from secateur.workflow.inspection import Inspection, LayerFacts, StoredWeights

LISTED_OUTSIDE = 6
UNIT_NAMES = {
    "group": "KV group with its query heads",
    "head": "query head in its group",
    "cross_group": "cross-attention group",
    "channel": "FFN channel",
}


def print_inspection(inspection: Inspection) -> None:
    """Show layers, units, couplings, what lies outside the blocks, and what can be cut."""
    console = Console()
    console.print(
        f"{inspection.model_class} ({inspection.origin}), family {inspection.family}: "
        f"{count(inspection.parameters)} parameters, {count(inspection.block_parameters)} of them in "
        f"{inspection.shape.n_layers} blocks of width {inspection.shape.hidden}, heads of "
        f"{inspection.shape.head_dim}"
    )
    console.print(layer_table(inspection))
    console.print(unit_table(inspection))
    for alike in inspection.coupled:
        console.print(headed("what goes together", f", {_layers(alike.layers)}"))
        for text in (*(coupling.statement for coupling in alike.couplings), *alike.notes):
            console.print(Padding(f"- {text}", (0, 0, 0, 2)), highlight=False)
    _print_outside(console, inspection)
    console.print(cut_table(inspection))
    console.print(_ratios(inspection))
    console.print(_coming_back(inspection))
    if inspection.stored is not None:
        console.print(_stored(inspection.stored))


def layer_table(inspection: Inspection) -> Table:
    """Return one row for each run of layers that are alike."""
    columns: dict[str, Callable[[LayerFacts], str]] = {
        "attention": lambda layer: layer.attention.removesuffix("_attention"),
        "query heads": lambda layer: str(layer.query_heads),
        "KV groups": lambda layer: str(layer.kv_groups),
        "heads a group": lambda layer: str(layer.heads_per_group),
        "cross heads": lambda layer: (
            f"{layer.cross_heads}/{layer.cross_groups}" if layer.cross_groups else MISSING
        ),
        "channels": lambda layer: str(layer.channels),
        "parameters": lambda layer: count(layer.parameters),
        "FLOPs": lambda layer: count(layer.flops_per_token),
    }
    if not any(layer.cross_groups for layer in inspection.layers):
        del columns["cross heads"]
    table = Table(title=f"layers; FLOPs a token at a context of {inspection.context_tokens}")
    table.add_column("layers")
    for heading in columns:
        justify: Literal["left", "right"] = "left" if heading == "attention" else "right"
        table.add_column(heading, justify=justify, min_width=max(map(len, heading.split())))
    for members in alike(inspection.layers):
        indices = ranges(layer.index for layer in members)
        table.add_row(indices, *(text(members[0]) for text in columns.values()))
    return table


def unit_table(inspection: Inspection) -> Table:
    """Return what one unit of each kind is worth, for each run of layers that are alike."""
    table = Table(title="units, of one each")
    table.add_column("layers")
    table.add_column("unit")
    for heading in ("a layer", "parameters", "FLOPs/token", "share of layer"):
        table.add_column(heading, justify="right")
    for members in alike(inspection.layers):
        indices = ranges(layer.index for layer in members)
        for kind, facts in members[0].units.items():
            lone = kind == "group" and members[0].heads_per_group == 1
            table.add_row(
                indices,
                "attention head" if lone else UNIT_NAMES[kind],
                str(facts.count),
                count(facts.parameters),
                count(facts.flops_per_token),
                percent(facts.parameters / members[0].parameters, 2),
            )
            indices = ""
    return table


def cut_table(inspection: Inspection) -> Table:
    """Return what can be cut and what cannot, with the reason."""
    table = Table(title="what can be cut")
    for heading in ("part", "", "how far, or why not"):
        table.add_column(heading)
    for limit in inspection.limits:
        table.add_row(limit.part, "yes" if limit.cuttable else "no", limit.reason)
    return table


def alike(layers: Iterable[LayerFacts]) -> list[list[LayerFacts]]:
    """Gather layers that differ in nothing but their position."""
    found: dict[str, list[LayerFacts]] = {}
    for layer in layers:
        found.setdefault(repr(replace(layer, index=0)), []).append(layer)
    return list(found.values())


def _layers(indices: tuple[int, ...]) -> str:
    return f"layer{'s' if len(indices) > 1 else ''} {ranges(indices)}"


def _print_outside(console: Console, inspection: Inspection) -> None:
    outside = sorted(inspection.outside.items(), key=lambda entry: -entry[1])
    total = inspection.parameters
    named = [f"{name} {count(number)}" for name, number in outside[:LISTED_OUTSIDE]]
    if len(outside) > LISTED_OUTSIDE:
        rest = outside[LISTED_OUTSIDE:]
        named.append(f"{len(rest)} more {count(sum(number for _, number in rest))}")
    share = percent(inspection.shape.other_parameters / total)
    console.print(headed("outside the blocks", f" ({share} of the parameters): {', '.join(named)}"))
    if inspection.shape.vocabulary:
        share = percent(inspection.vocabulary_parameters / total)
        size_of_it = (
            f"{inspection.shape.vocabulary} tokens, {count(inspection.vocabulary_parameters)} parameters"
        )
        console.print(headed("vocabulary", f": {size_of_it} ({share} of the model)"))
    for names in inspection.tied:
        console.print(headed("tied", f": {' = '.join(names)}"))


def _ratios(inspection: Inspection) -> Text:
    plain, with_heads = inspection.largest_ratio, inspection.largest_ratio_with_heads
    more = f" ({times(with_heads)} with query heads cut inside groups)" if with_heads > plain else ""
    return headed("largest reachable ratio", f": {times(plain)}, vocabulary whole{more}")


def _coming_back(inspection: Inspection) -> Text:
    if not inspection.plain_cuts:
        return headed("saved as", ": a secateur checkpoint")
    return headed(
        "saved as",
        f": a plain transformers folder after cuts of {', '.join(inspection.plain_cuts)}, widths equal in "
        "all layers; else a secateur checkpoint",
    )


def _stored(stored: StoredWeights) -> Text:
    dtypes = ", ".join(f"{count(number)} in {dtype}" for dtype, number in stored.dtypes.items())
    files = counted(len(stored.files), "file")
    text = headed("weights", f": {files}, {size(stored.bytes)}; {dtypes or 'none read'}")
    if stored.missing:
        text.append(f"; missing: {', '.join(stored.missing)}", "red")
    return text
