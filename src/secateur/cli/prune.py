"""``secateur prune``: cut a trained model."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli import options
from secateur.cli.cut_group import METHODS, with_cut_options
from secateur.cli.settings_file import Settings


@with_cut_options
def prune(
    model: Annotated[
        str,
        typer.Argument(
            help="Diagnoser checkpoint, transformers folder, GGUF file, or name on the hub.",
            show_default=False,
        ),
    ],
    out: options.Out,
    *,
    data: options.OtherData = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Text to score and re-fit on; for a Diagnoser recordings, as --data."),
    ] = None,
    split: options.OtherSplit = None,
    method: Annotated[
        str | None, typer.Option(help=f"{METHODS}. Default: cascade for Diagnosers, else rounds.")
    ] = None,
    criterion: Annotated[
        str | None,
        typer.Option(
            help="Importance of heads and channels: surgeon, taylor, activation; without data: magnitude, "
            "random. Default: taylor for Diagnosers, surgeon for transformers, activation with --max-memory."
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            help="Most memory of the whole process, such as 4GiB: layers are cut one at a time, from disk "
            "(transformers folders only; criterion activation, magnitude or random)."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of calibration and random scores; default 0 (transformers only).")
    ] = None,
    cut: dict[str, Any],
    overwrite: options.Overwrite = False,
    device: options.Device = None,
    track: options.Track = None,
    settings_file: Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """Cut a trained model and save it so that it can be loaded again.

    A Diagnoser is cut on the recordings of its task, with recovery. Any transformers model of a known family
    is cut on a text, or by the magnitude of its weights without any data.
    """
    from secateur.cli.model_kind import is_diagnoser
    from secateur.core.errors import ConfigError
    from secateur.core.outputs import result_at
    from secateur.core.progress import quiet
    from secateur.models.checkpoint_files import CHECKSUMS

    given = {
        **cut,
        **{"data": data, "calibration": calibration, "split": split, "method": method},
        **{"criterion": criterion, "max_memory": max_memory, "seed": seed},
    }
    if out.exists() and Path(model).exists() and out.samefile(model):
        raise ConfigError(f"--out {out} is the model itself; choose another folder.")
    cut_it = _prune_diagnoser if is_diagnoser(model, if_gone=Path(model).is_absolute()) else _prune_model
    with quiet() if as_json else nullcontext(), result_at(out, marker=CHECKSUMS, overwrite=overwrite):
        show = cut_it(model, out, given)
    show(as_json)


def _prune_diagnoser(model: str, out: Path, given: dict[str, Any]) -> Any:
    from secateur.cli.tables import print_stages
    from secateur.core.errors import ConfigError
    from secateur.core.records import JsonLines
    from secateur.models.checkpoint import describe
    from secateur.recovery.settings import RecoverySettings
    from secateur.training.tracking import require_training
    from secateur.workflow.cut_options import cut_of_diagnoser
    from secateur.workflow.steps import load_for_task, prune_and_save

    calibration, data = given["calibration"], given["data"]
    if calibration is not None and data is not None:
        raise ConfigError("--calibration and --data are the same for a Diagnoser; give one of them.")
    if given["seed"] is not None:
        raise ConfigError("--seed: a Diagnoser is cut with the seed that it was trained with; leave out.")
    fitted = describe(Path(model)).metadata.get("fit_settings") or {}
    cut = cut_of_diagnoser(given, learning_rate=fitted.get("learning_rate", RecoverySettings.learning_rate))
    require_training(cut.recovery is not None)
    data = data if calibration is None else str(calibration)
    dense, task, preparation = load_for_task(Path(model), data=data, split=given["split"])
    prune_and_save(dense, preparation, task=task, cut=cut, folder=out)
    records = JsonLines(out.parent / f"{out.name}.records.jsonl").read()

    def show(as_json: bool) -> None:
        if as_json:
            typer.echo(json.dumps({"checkpoint": str(out), "stages": records, **describe(out).metadata}))
        else:
            print_stages(records, out)

    return show


def _prune_model(model: str, out: Path, given: dict[str, Any]) -> Any:
    from secateur.cli.cut_tables import print_cut
    from secateur.core.memory import parse_size
    from secateur.training.tracking import require_training
    from secateur.workflow.cut_options import cut_of_model
    from secateur.workflow.prune import prune_model
    from secateur.workflow.streaming.prune import prune_streaming

    cut = cut_of_model(**given)
    require_training(cut.recovery is not None)
    if given["max_memory"] is None:
        result = prune_model(model, cut, out)
    else:
        limit = parse_size(given["max_memory"])
        result = prune_streaming(Path(model), out, cut, max_memory_bytes=limit)

    def show(as_json: bool) -> None:
        if as_json:
            typer.echo(json.dumps(result))
        else:
            print_cut(result)

    return show
