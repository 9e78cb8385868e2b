"""``secateur order``: all orders of the stages and the joint cut, at equal recovery, over seeds."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli import options


def order(
    data: options.Data,
    split: options.Split = "load",
    backbone: options.Backbone = "small-mha",
    ratio: Annotated[
        float, typer.Option(help="Dense over remaining parameters of the whole model.", min=1.0)
    ] = 13.8,
    seeds: Annotated[
        int, typer.Option(help="Number of seeds, counted from --seed on. More may be added later.", min=1)
    ] = 5,
    seed: options.Seed = 0,
    snr: options.Snr = "-10,-6,-2,2,6,10",
    criterion: options.Criterion = "taylor",
    train_steps: options.TrainSteps = 600,
    recovery_steps: options.RecoverySteps = 300,
    shares: Annotated[
        str, typer.Option(help="Shares of the recovery steps that the first, second and third stage get.")
    ] = "0,0,1",
    max_depths: Annotated[
        int, typer.Option(help="Most candidate depths that are probed, for every order.", min=1)
    ] = 4,
    probe_steps: Annotated[
        int, typer.Option(help="Recovery steps of every candidate depth, on top of --recovery-steps.", min=0)
    ] = 20,
    batch_size: options.BatchSize = 32,
    channel: options.Channel = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("order"),
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Compare the six orders of layers, groups and channels and the joint cut, and measure why they differ.

    The same command goes on where a stopped one ended.
    """
    from secateur.cli.order_tables import print_order
    from secateur.core.locks import sole_writer
    from secateur.core.progress import quiet
    from secateur.methods.settings import SearchSettings
    from secateur.recovery.settings import RecoverySettings
    from secateur.training.settings import FitSettings
    from secateur.workflow.order import compare_orders
    from secateur.workflow.order_settings import OrderSettings
    from secateur.workflow.settings import TaskSettings

    settings = OrderSettings(
        task=TaskSettings(data=options.absolute(data), split=split, seed=seed, channel=channel),
        backbone=backbone,
        ratio=ratio,
        n_seeds=seeds,
        fit=FitSettings(max_steps=train_steps, batch_size=batch_size),
        search=SearchSettings(criterion=criterion, max_depths=max_depths, probe_steps=probe_steps),
        recovery_shares=_parse_shares(shares),
        recovery=RecoverySettings(max_steps=recovery_steps, batch_size=batch_size),
        snr_curve_db=options.parse_snr(snr),
    )
    with quiet() if as_json else nullcontext(), sole_writer(out):
        result = compare_orders(settings, out, overwrite=overwrite)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_order(result, out)


def _parse_shares(text: str) -> tuple[float, ...]:
    from secateur.core.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--shares '{text}' is not a list of numbers; write --shares 0.2,0.2,0.6."
        ) from None
