"""Judgements of language models and encoders on the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.table import Table

from secateur.cli.console import Console
from secateur.report.numbers import count, decimal

Rows = Mapping[str, Callable[[Mapping[str, Any]], str]]
"""What each row tells of the figures of a model."""


def print_language_model(result: Mapping[str, Any]) -> None:
    """Show perplexity on a text, beside that of the other model if there is one."""
    table = _table(
        result,
        f"{result['predicted_tokens']:,} tokens predicted, {result['context']} at a time, moving by "
        f"{result['stride']}",
        {
            "perplexity": lambda figures: decimal(figures["perplexity"], 2),
            "95 % interval": lambda figures: _interval(figures["interval"], 2),
            "bits per byte": lambda figures: decimal(figures["bits_per_byte"]),
            "seconds": lambda figures: decimal(figures["seconds"], 1),
        },
    )
    console = Console()
    console.print(table)
    if result.get("ratio") is not None:
        console.print(
            f"perplexity {decimal(result['ratio'])} times the other's "
            f"(95 %: {_interval(result['ratio_interval'], 3)})"
        )
    elif result["against"]:
        console.print(f"no ratio: {result['no_ratio_because']}")


def print_encoder(result: Mapping[str, Any]) -> None:
    """Show how paraphrases are placed, beside the other model if there is one."""
    table = _table(
        result,
        f"{result['pairs']} pairs of paraphrases",
        {
            "cosine of paraphrases": lambda figures: decimal(figures["paraphrase_mean"]),
            "cosine of unrelated sentences": lambda figures: decimal(figures["unrelated_mean"]),
            "separation (AUC)": lambda figures: decimal(figures["separation"]),
        },
    )
    console = Console()
    console.print(table)
    if result["against"]:
        console.print(
            f"mean cosine to the other's embeddings of the same sentences: {decimal(result['fidelity'])}"
        )


def _table(result: Mapping[str, Any], title: str, rows: Rows) -> Table:
    columns = {"model": result} | ({"against": result["against"]} if result["against"] else {})
    table = Table(title=title)
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    parameters: Rows = {"parameters": lambda figures: count(figures["parameters"])}
    for name, text in {**parameters, **rows}.items():
        table.add_row(name, *(text(figures) for figures in columns.values()))
    return table


def _interval(bounds: list[float], digits: int) -> str:
    return " to ".join(decimal(bound, digits) for bound in bounds)
