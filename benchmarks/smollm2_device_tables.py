"""The page of ``smollm2_device.py``."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

_HEAD = (
    "| file | MB | perplexity over fp32 (95 %) | same favourite | greedy | prompt, tokens/s "
    "| decode, tokens/s | peak MiB |"
)


def page(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown.

    Parameters
    ----------
    result : mapping
        What ``smollm2_device.py`` writes as JSON.
    """
    lines = [
        f"SmolLM2-135M, and cut by {result['share']:.0%} of the block parameters ({result['method']}), "
        f"without training. {result['evaluation_tokens']:,} evaluation tokens in windows of 512. One thread; "
        "speed is tokens a second of processor time, the median of the turns.",
        "",
    ]
    if result["note"]:
        lines += [result["note"], ""]
    for name, parameters in result["parameters"].items():
        cells = [cell for cell in result["quality"] if cell["model"] == name]
        own = cells[0]["perplexity"]
        lines += [f"{name}: {parameters / 1e6:.1f} M parameters, perplexity {own:.2f}", "", _HEAD]
        lines.append("|---" * 8 + "|")
        turns = [turn for turn in result["turns"] if turn["model"] == name]
        lines += [_row(cell, [turn for turn in turns if turn["file"] == cell["file"]]) for cell in cells]
        lines.append("")
    return "\n".join(lines)


def _row(cell: Mapping[str, Any], turns: list[Mapping[str, Any]]) -> str:
    low, high = cell["over_fp32_interval"]
    shown = [
        cell["file"],
        f"{cell['file_bytes'] / 1e6:.0f}",
        f"{cell['over_fp32']:.4f} ({low:.4f} to {high:.4f})",
        f"{cell['same_favourite']:.1%}",
        f"{cell['greedy']:.0%}",
        *_speed(turns),
    ]
    return f"| {' | '.join(shown)} |"


def _speed(turns: list[Mapping[str, Any]]) -> list[str]:
    if not turns:
        return ["-"] * 3
    prefill, decode = (median(turn[part]["cpu_s"] for turn in turns) for part in ("prefill", "decode"))
    return [f"{prefill:.0f}", f"{decode:.1f}", f"{median(turn['peak_mib'] for turn in turns):.0f}"]
