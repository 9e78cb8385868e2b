"""``secateur inspect``: what a model is made of and what can be cut of it."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Annotated

import typer

from secateur.cli import options


def inspect(
    model: Annotated[
        str,
        typer.Argument(
            help="Checkpoint, transformers folder (config.json is enough), GGUF file or name on the hub.",
            show_default=False,
        ),
    ],
    layer: Annotated[int | None, typer.Option(min=0, help="Show this layer alone.")] = None,
    context: Annotated[int, typer.Option(min=1, help="Tokens that a query attends to, for FLOPs.")] = 512,
    as_json: options.AsJson = False,
) -> None:
    """Show a model's units, what is coupled, what each costs and what can be cut; reads no weights."""
    from secateur.cli.unit_tables import print_inspection
    from secateur.core.progress import quiet
    from secateur.workflow.inspection import inspect_model
    from secateur.workflow.outline import outline_of

    with quiet() if as_json else nullcontext():
        inspection = inspect_model(outline_of(model), context_tokens=context, layer=layer)
    if as_json:
        typer.echo(json.dumps(inspection.to_json()))
    else:
        print_inspection(inspection)
