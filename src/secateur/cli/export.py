"""``secateur export``: a checkpoint to an ONNX bundle."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli import options


def export(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.", show_default=False)],
    out: options.Out,
    data: options.OtherData = None,
    split: options.OtherSplit = None,
    as_json: options.AsJson = False,
) -> None:
    """Export a model as an ONNX bundle whose parity with the checkpoint is proved on real windows."""
    from secateur.core.progress import quiet
    from secateur.models.checkpoint import describe
    from secateur.workflow.steps import export_bundle, load_for_task

    with quiet() if as_json else nullcontext():
        loaded, task, preparation = load_for_task(model, data=data, split=split)
        info = export_bundle(
            loaded,
            preparation,
            folder=out,
            plan=describe(model).plan,
            name=model.resolve().name,
            seed=task.seed,
        )
    if as_json:
        summary = {"bundle": str(out), "bytes": info.n_bytes, "parity": info.parity.model_dump()}
        typer.echo(json.dumps(summary))
    else:
        typer.echo(
            f"{out}: {info.n_bytes:,} bytes; logits differ from the checkpoint's by at most "
            f"{info.parity.max_abs_diff:.1e} on {info.parity.windows} windows"
        )
