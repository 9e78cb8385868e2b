"""Options of a cut, which ``compress`` and ``prune`` share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

METHODS = "cascade, one_shot, rounds or scratch; or, removing no unit, magnitude, int4 or svd"
"""Registered methods in words; their table is not imported for a help page."""


class CutOptions:
    """One attribute an option; all are None unless given."""

    task: Annotated[
        str | None,
        typer.Option(
            help="What --calibration holds: text, answers (prompt, answer), labels (text, label) or "
            "embeddings (sentences); default: what the model's head is for."
        ),
    ]
    ratio: Annotated[
        float | None,
        typer.Option(
            help="Dense over remaining parameters of the whole model; default for Diagnosers, where no "
            "other target is given, 13.8."
        ),
    ]
    block_fraction: Annotated[
        float | None,
        typer.Option(
            help="Share of the blocks' parameters to remove, instead of a ratio (transformers only)."
        ),
    ]
    latency_ms: Annotated[
        float | None,
        typer.Option(
            help="Most milliseconds from a raw window to probabilities; with --latency-table (Diagnosers "
            "only)."
        ),
    ]
    latency_table: Annotated[
        Path | None,
        typer.Option(help="Table of this backbone that 'secateur profile' measured on the device."),
    ]
    memory_mib: Annotated[
        float | None,
        typer.Option(
            help="Most MiB on the device: the peak of the process that runs the exported Diagnoser; for a "
            "transformers model its weights."
        ),
    ]
    precision: Annotated[
        str | None,
        typer.Option(
            help="Precision of the weights on the device, with --memory-mib: fp32 (default) or int8; for "
            "transformers also fp16, bf16, int4."
        ),
    ]
    runtime_mib: Annotated[
        float | None,
        typer.Option(
            help="MiB that the device's process holds without the model, with --memory-mib; default: see "
            "docs/device.md (Diagnosers only)."
        ),
    ]
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            help="Keep only the tokens that this text uses (transformers only); without a size the whole cut."
        ),
    ]
    units: Annotated[
        str | None,
        typer.Option(
            help="What to cut of each block: some of group, head, channel; a head is a query head inside its "
            "KV group. Default of rounds: group,channel by surgeon where heads share keys; else channel, and "
            "group where too few channels would stay. Default of cascade: group,channel (transformers only)."
        ),
    ]
    uniform: Annotated[
        bool | None,
        typer.Option("--uniform", help="Equal widths in all layers, for a plain folder (transformers only)."),
    ]
    layers: Annotated[
        int | None,
        typer.Option(
            help="Layers to keep, by hand; with --heads and --channels, without --units, --uniform, "
            "--multiple and --rounds. Method rounds keeps all."
        ),
    ]
    heads: Annotated[int | None, typer.Option(help="Heads to keep in each layer, by hand.")]
    channels: Annotated[int | None, typer.Option(help="FFN channels to keep in each layer, by hand.")]
    multiple: Annotated[
        int | None,
        typer.Option(help="Round channel widths to this multiple; default: the largest that harms little."),
    ]
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Rounds of scoring, cutting, re-fitting, default 1; with --method rounds."),
    ]
    min_accuracy: Annotated[
        float | None,
        typer.Option(
            help="Validation accuracy (0 to 1) under which the cascade goes back to its last good stage."
        ),
    ]
    max_perplexity_ratio: Annotated[
        float | None,
        typer.Option(
            help="Validation perplexity over the dense model's above which a stage is undone (language "
            "models only)."
        ),
    ]
    calibration_blocks: Annotated[
        int | None,
        typer.Option(
            min=1, help="Blocks of 256 tokens of the text to score on; default 32 (transformers only)."
        ),
    ]
    general_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.95,
            help="Share of a general text, whose blocks come beside those of the calibration text, so that "
            "a cut costs other texts less; default 0.5: as many again (language models only).",
        ),
    ]
    general_text: Annotated[
        Path | None,
        typer.Option(
            help="General text in place of the one that comes with secateur (language models only)."
        ),
    ]
    recovery_steps: Annotated[
        int | None,
        typer.Option(
            min=0, help="Most recovery steps, over all stages; default for Diagnosers 300, else none."
        ),
    ]
    recovery_minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="Time for recovery on the calibration text (language models only)."),
    ]
    recovery_adapter: Annotated[
        str | None,
        typer.Option(
            help="What recovery trains: full (all weights, default) or lora, with less memory (language "
            "models only)."
        ),
    ]
    unlabelled_share: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Share of recovery's windows that are simulated machines without labels, on which the cut "
            "model learns the dense one's answers alone; default 0.25 (Diagnosers only).",
        ),
    ]
    recovery_control: Annotated[
        bool | None,
        typer.Option(
            "--recovery-control/--no-recovery-control",
            help="Train the dense model for as many steps too, to tell what recovery repairs from what is "
            "adaptation to the text. Default (language models only).",
        ),
    ]
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Windows in a training step; default 32 (Diagnosers only).")
    ]


def with_cut_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared options in the place of its argument ``cut``, which gets them by name."""
    own = inspect.signature(command, eval_str=True)
    shared = get_type_hints(CutOptions, include_extras=True)
    named = inspect.Parameter.KEYWORD_ONLY
    of_cut = [inspect.Parameter(name, named, default=None, annotation=hint) for name, hint in shared.items()]
    parameters = []
    for name, entry in own.parameters.items():
        parameters += of_cut if name == "cut" else [entry.replace(kind=named)]

    @wraps(command)
    def given(**options: Any) -> None:
        cut = {name: options.pop(name) for name in shared}
        if cut["units"] is not None:
            cut["units"] = tuple(unit.strip() for unit in cut["units"].split(","))
        command(**options, cut=cut)

    given.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    given.__annotations__ = {entry.name: entry.annotation for entry in parameters}
    return given
