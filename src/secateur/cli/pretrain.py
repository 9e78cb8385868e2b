"""``secateur pretrain``: a foundation diagnoser from simulated machines."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Annotated

import typer

from secateur.cli import options


def pretrain(
    out: options.Out,
    backbone: options.Backbone = "micro-mha",
    seed: options.Seed = 0,
    steps: Annotated[int, typer.Option(min=1, help="Most optimiser steps.")] = 2500,
    batch_size: Annotated[int, typer.Option(min=1, help="Machines in a training step.")] = 64,
    machines: Annotated[
        int, typer.Option(min=64, help="Random machines to train on, each of another kind.")
    ] = 12_288,
    device: options.Device = None,
    track: options.Track = None,
    as_json: options.AsJson = False,
) -> None:
    """Train a diagnoser on random simulated machines; a stopped run goes on by the same command.

    Each window comes from a machine of its own, so the model learns none of them by heart. The result,
    OUT/dense, is a checkpoint like any other: prune, evaluate and export it, or start from it with
    'compress --backbone OUT/dense'.
    """
    from secateur.cli.tables import print_fit
    from secateur.core.locks import sole_writer
    from secateur.core.progress import quiet
    from secateur.signals.simulator.machine_windows import BLOCK
    from secateur.training.settings import LoopSettings
    from secateur.workflow.backbone import learning_rate_for
    from secateur.workflow.pretraining import CHECKPOINT, PretrainingSettings
    from secateur.workflow.pretraining import pretrain as run

    settings = PretrainingSettings(
        backbone=backbone,
        seed=seed,
        train_blocks=-(-machines // BLOCK),
        validation_blocks=max(1, machines // BLOCK // 10),
        loop=LoopSettings(
            max_steps=steps,
            batch_size=batch_size,
            evaluate_every=min(250, steps),
            checkpoint_every=250,
            patience=steps,
            learning_rate=learning_rate_for(backbone),
            seed=seed,
        ),
    )
    with quiet() if as_json else nullcontext(), sole_writer(out):
        result = run(settings, out)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_fit(result["fit"], out / CHECKPOINT)
