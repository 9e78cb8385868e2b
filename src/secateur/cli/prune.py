"""``secateur prune``: cut a trained model."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli import options

DIAGNOSER_DEFAULTS: dict[str, Any] = {
    "method": "cascade",
    "recovery_steps": 300,
    "batch_size": 32,
}
DIAGNOSER_ONLY = (
    "data",
    "split",
    "method",
    "layers",
    "heads",
    "channels",
    "min_accuracy",
    "batch_size",
    "latency_ms",
    "latency_table",
    "runtime_mib",
)
TRANSFORMER_ONLY = (
    "block_fraction",
    "vocabulary",
    "units",
    "uniform",
    "seed",
    "calibration_blocks",
    "max_memory",
    "rounds",
    "recovery_minutes",
    "recovery_adapter",
    "recovery_control",
)


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
    block_fraction: Annotated[
        float | None,
        typer.Option(help="Share of the blocks' parameters to remove, in place of a ratio; transformers."),
    ] = None,
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
    vocabulary: Annotated[
        Path | None, typer.Option(help="Keep the tokens that this text uses; transformers.")
    ] = None,
    units: Annotated[
        str | None,
        typer.Option(
            help="What to cut of each block: channel, group, or group,channel. Default: both by surgeon "
            "where heads share keys; else channel, and group where too few channels would stay; transformers."
        ),
    ] = None,
    uniform: Annotated[
        bool,
        typer.Option("--uniform", help="Equal widths in all layers, for a plain folder; transformers."),
    ] = False,
    multiple: options.Multiple = None,
    calibration_blocks: Annotated[
        int | None,
        typer.Option(min=1, help="Blocks of 256 tokens of the text, default 32; transformers."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Rounds of scoring, cutting, re-fitting, default 1; transformers."),
    ] = None,
    recovery_steps: Annotated[
        int | None,
        typer.Option(
            min=0, help="Recovery steps at most; default for Diagnosers 300, for transformers none."
        ),
    ] = None,
    recovery_minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="Time for recovery on the calibration text; language models."),
    ] = None,
    recovery_adapter: Annotated[
        str | None,
        typer.Option(
            help="What recovery trains: full (all weights, default) or lora (less memory); language models."
        ),
    ] = None,
    recovery_control: Annotated[
        bool | None,
        typer.Option(
            "--recovery-control/--no-recovery-control",
            help="Train the dense model alike, to tell mending from adaptation to the text (default); "
            "language models.",
        ),
    ] = None,
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
    method: Annotated[str | None, typer.Option(help="cascade (default) or one_shot; Diagnosers.")] = None,
    layers: options.Layers = None,
    heads: options.Heads = None,
    channels: options.Channels = None,
    min_accuracy: options.MinAccuracy = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Windows a step, default 32; Diagnosers.")
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Cut a model and save it so that it comes back.

    A Diagnoser is cut on the recordings of its task, with recovery. Any transformers model of a known family
    is cut on a text, or by the magnitude of its weights without any data.
    """
    from secateur.cli.model_kind import is_diagnoser
    from secateur.core.errors import ConfigError
    from secateur.core.outputs import result_at
    from secateur.core.progress import quiet
    from secateur.models.checkpoint_files import CHECKSUMS

    given = {
        "block_fraction": block_fraction,
        "vocabulary": vocabulary,
        "units": None if units is None else tuple(units.split(",")),
        "uniform": uniform or None,
        "seed": seed,
        "calibration_blocks": calibration_blocks,
        "max_memory": max_memory,
        "rounds": rounds,
        "recovery_minutes": recovery_minutes,
        "recovery_adapter": recovery_adapter,
        "recovery_control": recovery_control,
        "data": data,
        "split": split,
        "method": method,
        "layers": layers,
        "heads": heads,
        "channels": channels,
        "min_accuracy": min_accuracy,
        "recovery_steps": recovery_steps,
        "batch_size": batch_size,
        "latency_ms": latency_ms,
        "latency_table": latency_table,
        "runtime_mib": runtime_mib,
        "memory_mib": memory_mib,
        "precision": precision,
    }
    common = {"ratio": ratio, "criterion": criterion, "calibration": calibration, "multiple": multiple}
    if out.exists() and Path(model).exists() and out.samefile(model):
        raise ConfigError(f"--out {out} is the model itself; choose another folder.")
    diagnoser = is_diagnoser(model, if_gone=Path(model).is_absolute())
    _refuse_others(given, diagnoser)
    with quiet() if as_json else nullcontext(), result_at(out, marker=CHECKSUMS, overwrite=overwrite):
        show = (_prune_diagnoser if diagnoser else _prune_transformer)(model, out, **common, **given)
    show(as_json)


def _refuse_others(given: dict[str, Any], diagnoser: bool) -> None:
    from secateur.core.errors import ConfigError

    others, kind = (TRANSFORMER_ONLY, "Diagnosers") if diagnoser else (DIAGNOSER_ONLY, "transformers models")
    wrong = [f"--{name.replace('_', '-')}" for name in others if given[name] is not None]
    if wrong:
        raise ConfigError(f"{', '.join(wrong)}: not for {kind}; leave out.")


def _prune_diagnoser(
    model: str,
    out: Path,
    *,
    ratio: float | None,
    criterion: str | None,
    calibration: Path | None,
    multiple: int | None,
    **given: Any,
) -> Any:
    from secateur.cli.settings import cut_settings, device_limits, hand_allocation
    from secateur.cli.tables import print_stages
    from secateur.core.errors import ConfigError
    from secateur.core.records import JsonLines
    from secateur.models.checkpoint import describe
    from secateur.scoring.registered import DEFAULT_CRITERION
    from secateur.workflow.steps import load_for_task, prune_and_save

    if calibration is not None and given["data"] is not None:
        raise ConfigError("--calibration and --data are the same for a Diagnoser; give one of them.")
    chosen = DIAGNOSER_DEFAULTS | {name: value for name, value in given.items() if value is not None}
    cut = cut_settings(
        method=chosen["method"],
        ratio=ratio,
        device=device_limits(
            **{
                name: given[name]
                for name in ("latency_ms", "latency_table", "memory_mib", "precision", "runtime_mib")
            }
        ),
        criterion=criterion or DEFAULT_CRITERION,
        hand=hand_allocation(given["layers"], given["heads"], given["channels"]),
        multiple=multiple,
        min_accuracy=given["min_accuracy"],
        recovery_steps=chosen["recovery_steps"],
        batch_size=chosen["batch_size"],
    )
    data = str(calibration) if calibration is not None else given["data"]
    dense, task, preparation = load_for_task(Path(model), data=data, split=given["split"])
    prune_and_save(dense, preparation, task=task, cut=cut, folder=out)
    records = JsonLines(out.parent / f"{out.name}.records.jsonl").read()

    def show(as_json: bool) -> None:
        if as_json:
            typer.echo(json.dumps({"checkpoint": str(out), "stages": records, **describe(out).metadata}))
        else:
            print_stages(records, out)

    return show


def _weights_within(memory_mib: float | None, precision: str | None) -> int | None:
    from secateur.core.errors import ConfigError
    from secateur.structure.memory import parameters_within

    if memory_mib is not None:
        return parameters_within(memory_mib, precision or "fp32")
    if precision is not None:
        raise ConfigError("--precision: goes with --memory-mib; add it, or leave out.")
    return None


def _prune_transformer(model: str, out: Path, **given: Any) -> Any:
    from secateur.cli.cut_tables import print_cut
    from secateur.core.memory import parse_size
    from secateur.scoring.registered import TEXT_CRITERION
    from secateur.tasks.reading import CALIBRATION_BLOCKS
    from secateur.workflow.streaming.prune import prune_streaming
    from secateur.workflow.transformer import TransformerCut, prune_transformer

    cut = TransformerCut(
        ratio=given["ratio"],
        block_fraction=given["block_fraction"],
        max_parameters=_weights_within(given["memory_mib"], given["precision"]),
        criterion=given["criterion"] or (TEXT_CRITERION if given["max_memory"] is None else "activation"),
        calibration=given["calibration"],
        vocabulary=given["vocabulary"],
        units=given["units"],
        uniform=bool(given["uniform"]),
        multiple=given["multiple"],
        calibration_blocks=given["calibration_blocks"] or CALIBRATION_BLOCKS,
        rounds=given["rounds"] or 1,
        recovery_steps=given["recovery_steps"] or 0,
        recovery_minutes=given["recovery_minutes"],
        recovery_adapter=given["recovery_adapter"] or "full",
        recovery_control=given["recovery_control"] is not False,
        seed=given["seed"] or 0,
    )
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
