"""``secateur compress``: recordings in, a verified small model and a report out."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Annotated

import typer

from secateur.cli import options


def compress(
    data: options.Data,
    out: options.Out,
    split: options.Split = "fault_size",
    backbone: options.Backbone = "small-mha",
    ratio: options.Ratio = None,
    latency_ms: options.LatencyMs = None,
    latency_table: options.LatencyTable = None,
    memory_mib: Annotated[
        float | None,
        typer.Option(help="MiB of the process that runs the exported model (fp32) at its peak, at most."),
    ] = None,
    runtime_mib: options.RuntimeMib = None,
    seed: options.Seed = 0,
    snr: options.Snr = "-10,-6,-2,2,6,10",
    method: options.Method = "cascade",
    criterion: Annotated[
        str | None,
        typer.Option(
            help="Importance of heads and channels: taylor, surgeon, magnitude, activation, random; default: "
            "what the check of the dense model recommends, else taylor."
        ),
    ] = None,
    layers: options.Layers = None,
    heads: options.Heads = None,
    channels: options.Channels = None,
    multiple: options.Multiple = None,
    min_accuracy: options.MinAccuracy = None,
    train_steps: options.TrainSteps = 600,
    recovery_steps: options.RecoverySteps = 300,
    batch_size: options.BatchSize = 32,
    channel: options.Channel = None,
    window_length: options.WindowLength = 8192,
    rivals: bool = typer.Option(
        True, help="Also fit the baselines: forest, fault lines, the shape from scratch."
    ),
    measure_sia: Annotated[
        bool,
        typer.Option(
            help="Measure on the dense model whether importance scores can be trusted; the structure is "
            "checked in any case."
        ),
    ] = True,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a dense model, cut it in a cascade, prove it, export it and report.

    How small: a ratio, a latency, a memory, or several of them, all of which then hold. The same command
    goes on where a stopped one ended.
    """
    from secateur.cli.settings import cut_settings, device_limits, hand_allocation
    from secateur.cli.tables import print_run
    from secateur.core.locks import sole_writer
    from secateur.core.progress import quiet
    from secateur.scoring.registered import DEFAULT_CRITERION
    from secateur.training.settings import FitSettings
    from secateur.workflow.compress import compress as carry_out
    from secateur.workflow.settings import RunSettings, SiaSettings, TaskSettings, windows_of

    settings = RunSettings(
        task=TaskSettings(
            data=options.absolute(data), split=split, seed=seed, channel=channel, **windows_of(window_length)
        ),
        backbone=backbone,
        fit=FitSettings(max_steps=train_steps, batch_size=batch_size),
        cut=cut_settings(
            method=method,
            ratio=ratio,
            device=device_limits(
                latency_ms=latency_ms,
                latency_table=latency_table,
                memory_mib=memory_mib,
                runtime_mib=runtime_mib,
            ),
            criterion=criterion or DEFAULT_CRITERION,
            hand=hand_allocation(layers, heads, channels),
            multiple=multiple,
            min_accuracy=min_accuracy,
            recovery_steps=recovery_steps,
            batch_size=batch_size,
        ),
        snr_curve_db=options.parse_snr(snr),
        rivals=rivals,
        sia=SiaSettings(measure=measure_sia, follow=criterion is None),
    )
    with quiet() if as_json else nullcontext(), sole_writer(out):
        result = carry_out(settings, out, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_run(result, out)
