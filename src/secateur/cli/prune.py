"""``secateur prune``: cut a trained model."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli import options
from secateur.cli.settings_file import Settings


def prune(
    model: Annotated[
        str,
        typer.Argument(
            help="Diagnoser checkpoint, transformers folder, GGUF file, or name on the hub.",
            show_default=False,
        ),
    ],
    out: options.Out,
    ratio: Annotated[
        float | None,
        typer.Option(
            help="Dense over remaining parameters of the whole model; Diagnosers: 13.8 where no other target "
            "is given."
        ),
    ] = None,
    block_fraction: options.BlockFraction = None,
    memory_mib: Annotated[
        float | None,
        typer.Option(
            help="MiB on the device at most: of the process at its peak; for transformers of the weights."
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Precision of the weights on the device, with --memory-mib: fp32 (default) or int8; for "
            "transformers also fp16, bf16, int4."
        ),
    ] = None,
    latency_ms: options.LatencyMs = None,
    latency_table: options.LatencyTable = None,
    runtime_mib: options.RuntimeMib = None,
    criterion: Annotated[
        str | None,
        typer.Option(
            help="Importance of heads and channels: surgeon, taylor, activation; without data: magnitude, "
            "random. Default: taylor for Diagnosers, surgeon for transformers, activation with --max-memory."
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(help="Text to score and re-fit on; for a Diagnoser recordings, as --data."),
    ] = None,
    vocabulary: options.Vocabulary = None,
    units: Annotated[
        str | None,
        typer.Option(
            help="What to cut of each block: some of group, head, channel; a head is a query head inside its "
            "KV group. Default of rounds: group,channel by surgeon where heads share keys; else channel, and "
            "group where too few channels would stay. Default of cascade: group,channel; transformers."
        ),
    ] = None,
    uniform: Annotated[
        bool,
        typer.Option("--uniform", help="Equal widths in all layers, for a plain folder; transformers."),
    ] = False,
    multiple: options.Multiple = None,
    calibration_blocks: options.CalibrationBlocks = None,
    general_share: options.GeneralShare = None,
    general_text: options.GeneralText = None,
    rounds: options.Rounds = None,
    recovery_steps: Annotated[
        int | None,
        typer.Option(
            min=0, help="Recovery steps at most; default for Diagnosers 300, for transformers none."
        ),
    ] = None,
    recovery_minutes: options.RecoveryMinutes = None,
    recovery_adapter: options.RecoveryAdapter = None,
    recovery_control: options.RecoveryControl = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            help="Memory of the whole process, such as 4GiB: layers are cut one at a time; transformers "
            "folders, criterion activation or magnitude."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of calibration and random scores, default 0; transformers.")
    ] = None,
    data: options.OtherData = None,
    split: options.OtherSplit = None,
    task: options.Task = None,
    method: Annotated[
        str | None,
        typer.Option(help=f"{options.METHODS}; default for Diagnosers cascade, else rounds."),
    ] = None,
    layers: options.Layers = None,
    heads: options.Heads = None,
    channels: options.Channels = None,
    min_accuracy: options.MinAccuracy = None,
    max_perplexity_ratio: options.MaxPerplexityRatio = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Windows a step, default 32; Diagnosers.")
    ] = None,
    overwrite: options.Overwrite = False,
    device: options.Device = None,
    track: options.Track = None,
    settings_file: Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """Cut a model and save it so that it can be reloaded.

    A Diagnoser is cut on the recordings of its task, with recovery. Any transformers model of a known family
    is cut on a text, or by the magnitude of its weights without any data.
    """
    given = dict(locals())
    for name in ("out", "model", "overwrite", "as_json", "device", "track"):
        del given[name]
    from secateur.cli.fitting import require_fitting
    from secateur.cli.model_kind import is_diagnoser
    from secateur.core.errors import ConfigError
    from secateur.core.outputs import result_at
    from secateur.core.progress import quiet
    from secateur.models.checkpoint_files import CHECKSUMS

    given["units"] = None if units is None else tuple(units.split(","))
    given["uniform"] = uniform or None
    if out.exists() and Path(model).exists() and out.samefile(model):
        raise ConfigError(f"--out {out} is the model itself; choose another folder.")
    diagnoser = is_diagnoser(model, if_gone=Path(model).is_absolute())
    require_fitting(given, "recordings" if diagnoser else "model")
    with quiet() if as_json else nullcontext(), result_at(out, marker=CHECKSUMS, overwrite=overwrite):
        show = (_prune_diagnoser if diagnoser else _prune_transformer)(model, out, given)
    show(as_json)


def _prune_diagnoser(model: str, out: Path, given: dict[str, Any]) -> Any:
    from secateur.cli.settings import recordings_cut
    from secateur.cli.tables import print_stages
    from secateur.core.errors import ConfigError
    from secateur.core.records import JsonLines
    from secateur.models.checkpoint import describe
    from secateur.recovery.settings import RecoverySettings
    from secateur.workflow.steps import load_for_task, prune_and_save

    calibration, data = given["calibration"], given["data"]
    if calibration is not None and data is not None:
        raise ConfigError("--calibration and --data are the same for a Diagnoser; give one of them.")
    fitted = describe(Path(model)).metadata.get("fit_settings") or {}
    cut = recordings_cut(
        given,
        method=given["method"] or "cascade",
        batch_size=given["batch_size"] or 32,
        learning_rate=fitted.get("learning_rate", RecoverySettings.learning_rate),
    )
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


def _prune_transformer(model: str, out: Path, given: dict[str, Any]) -> Any:
    from secateur.cli.cut_tables import print_cut
    from secateur.cli.model_settings import model_cut
    from secateur.core.memory import parse_size
    from secateur.workflow.streaming.prune import prune_streaming
    from secateur.workflow.transformer import prune_transformer

    cut = model_cut(given)
    if given["max_memory"] is None:
        result = prune_transformer(model, cut, out)
    else:
        limit = parse_size(given["max_memory"])
        result = prune_streaming(Path(model), out, cut, max_memory_bytes=limit)

    def show(as_json: bool) -> None:
        if as_json:
            typer.echo(json.dumps(result))
        else:
            print_cut(result)

    return show
