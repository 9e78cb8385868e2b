"""``secateur evaluate``: judge a checkpoint on the test windows of a split."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli import options


def evaluate(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.", show_default=False)],
    data: options.OtherData = None,
    split: options.OtherSplit = None,
    against: Annotated[
        Path | None, typer.Option(help="Checkpoint of the dense model, to measure fidelity to it.")
    ] = None,
    snr: options.Snr = "",
    as_json: options.AsJson = False,
) -> None:
    """Judge a model on test windows, clean or noisy, and against another model if asked."""
    from secateur.cli.tables import print_evaluation
    from secateur.core.progress import quiet
    from secateur.workflow.judge import judge_checkpoint

    with quiet() if as_json else nullcontext():
        result = judge_checkpoint(
            model, against=against, data=data, split=split, snr_curve_db=options.parse_snr(snr)
        )
    if as_json:
        typer.echo(json.dumps(result))
    else:
        print_evaluation(result)
