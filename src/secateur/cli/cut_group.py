"""Options of a cut, which ``compress`` and ``prune`` share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

METHODS = "cascade, one_shot, rounds or scratch; without removing units magnitude, int4 or svd"
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
            help="Dense over remaining parameters of the whole model; of Diagnosers 13.8 where no other "
            "target is given."
        ),
    ]
    block_fraction: Annotated[
        float | None,
        typer.Option(help="Share of the blocks' parameters to remove, in place of a ratio; transformers."),
    ]
    latency_ms: Annotated[
        float | None,
        typer.Option(
            help="Milliseconds from a raw window to probabilities, at most; with --latency-table; Diagnosers."
        ),
    ]
    latency_table: Annotated[
        Path | None,
        typer.Option(help="Table of this backbone that 'secateur profile' measured on the device."),
    ]
    memory_mib: Annotated[
        float | None,
        typer.Option(
            help="MiB on the device at most: of the process that runs the exported Diagnoser at its peak; "
            "for a transformers model of its weights."
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
            "docs/device.md; Diagnosers."
        ),
    ]
    vocabulary: Annotated[
        Path | None, typer.Option(help="Keep the tokens that this text uses; transformers.")
    ]
    units: Annotated[
        str | None,
        typer.Option(
            help="What to cut of each block: some of group, head, channel; a head is a query head inside its "
            "KV group. Default of rounds: group,channel by surgeon where heads share keys; else channel, and "
            "group where too few channels would stay. Default of cascade: group,channel; transformers."
        ),
    ]
    uniform: Annotated[
        bool | None,
        typer.Option("--uniform", help="Equal widths in all layers, for a plain folder; transformers."),
    ]
    layers: Annotated[int | None, typer.Option(help="Layers to keep, by hand; with --heads and --channels.")]
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
            help="Validation perplexity over the dense model's above which a stage is undone; language "
            "models."
        ),
    ]
    calibration_blocks: Annotated[
        int | None,
        typer.Option(min=1, help="Blocks of 256 tokens of the text, default 32; transformers."),
    ]
    general_share: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.95,
            help="Share of a general text, whose blocks come beside these, so that a cut on one text costs "
            "others less; default 0.5: as many again; language models.",
        ),
    ]
    general_text: Annotated[
        Path | None,
        typer.Option(help="General text in place of the one that comes along; language models."),
    ]
    recovery_steps: Annotated[
        int | None,
        typer.Option(
            min=0, help="Recovery steps over all stages, at most; default for Diagnosers 300, else none."
        ),
    ]
    recovery_minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="Time for recovery on the calibration text; language models."),
    ]
    recovery_adapter: Annotated[
        str | None,
        typer.Option(
            help="What recovery trains: full (all weights, default) or lora (less memory); language models."
        ),
    ]
    unlabelled_share: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.9,
            help="Share of recovery's windows that are simulated machines without labels, on which the cut "
            "model learns the dense one's answers alone; default 0.25; Diagnosers.",
        ),
    ]
    recovery_control: Annotated[
        bool | None,
        typer.Option(
            "--recovery-control/--no-recovery-control",
            help="Train the dense model alike, to tell mending from adaptation to the text (default); "
            "language models.",
        ),
    ]
    batch_size: Annotated[int | None, typer.Option(min=1, help="Windows a step; default 32; Diagnosers.")]


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
