"""``secateur prune``: cut a trained model."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli import options


def prune(
    model: Annotated[Path, typer.Argument(help="Checkpoint of the dense model.", show_default=False)],
    out: options.Out,
    ratio: options.Ratio = 13.8,
    data: options.OtherData = None,
    split: options.OtherSplit = None,
    method: options.Method = "cascade",
    criterion: options.Criterion = "taylor",
    layers: options.Layers = None,
    heads: options.Heads = None,
    channels: options.Channels = None,
    multiple: options.Multiple = None,
    min_accuracy: options.MinAccuracy = None,
    recovery_steps: options.RecoverySteps = 300,
    batch_size: options.BatchSize = 32,
    as_json: options.AsJson = False,
) -> None:
    """Cut a model in a cascade, with recovery, and save it with its plan."""
    from secateur.cli.settings import cut_settings, hand_allocation
    from secateur.cli.tables import print_stages
    from secateur.core.progress import quiet
    from secateur.core.records import JsonLines
    from secateur.models.checkpoint import describe
    from secateur.workflow.steps import load_for_task, prune_and_save

    cut = cut_settings(
        method=method,
        ratio=ratio,
        criterion=criterion,
        hand=hand_allocation(layers, heads, channels),
        multiple=multiple,
        min_accuracy=min_accuracy,
        recovery_steps=recovery_steps,
        batch_size=batch_size,
    )
    with quiet() if as_json else nullcontext():
        dense, task, preparation = load_for_task(model, data=data, split=split)
        prune_and_save(dense, preparation, task=task, cut=cut, folder=out)
    records = JsonLines(out.parent / f"{out.name}.records.jsonl").read()
    if as_json:
        typer.echo(json.dumps({"checkpoint": str(out), "stages": records, **describe(out).metadata}))
    else:
        print_stages(records, out)
