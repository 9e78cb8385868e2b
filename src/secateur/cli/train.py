"""``secateur train``: the dense model alone."""

from __future__ import annotations

import json
from contextlib import nullcontext

import typer

from secateur.cli import options
from secateur.cli.settings_file import Settings


def train(
    data: options.Data,
    out: options.Out,
    split: options.Split = "fault_size",
    backbone: options.Backbone = "small-mha",
    seed: options.Seed = 0,
    train_steps: options.TrainSteps = 600,
    batch_size: options.BatchSize = 32,
    channel: options.Channel = None,
    window_length: options.WindowLength = None,
    overwrite: options.Overwrite = False,
    device: options.Device = None,
    track: options.Track = None,
    settings_file: Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """Train a dense diagnoser and save it as a checkpoint folder."""
    from secateur.cli.tables import print_fit
    from secateur.core.locks import sole_writer
    from secateur.core.progress import quiet
    from secateur.models.checkpoint import describe
    from secateur.training.settings import FitSettings
    from secateur.workflow.backbone import learning_rate_for, windows_for
    from secateur.workflow.settings import TaskSettings, windows_of
    from secateur.workflow.steps import train_dense
    from secateur.workflow.task import prepare_one

    task = TaskSettings(
        data=options.absolute(data),
        split=split,
        seed=seed,
        channel=channel,
        **windows_of(windows_for(backbone, window_length)),
    )
    with quiet() if as_json else nullcontext(), sole_writer(out):
        train_dense(
            prepare_one(task),
            backbone=backbone,
            task=task,
            settings=FitSettings(
                max_steps=train_steps, batch_size=batch_size, learning_rate=learning_rate_for(backbone)
            ),
            folder=out,
            overwrite=overwrite,
        )
    fitted = describe(out).metadata["fit"]
    if as_json:
        typer.echo(json.dumps({"checkpoint": str(out), **fitted}))
    else:
        print_fit(fitted, out)
