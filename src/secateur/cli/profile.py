"""``secateur profile``: how long a layer takes on this machine, at several widths."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secateur.cli import options
from secateur.cli.numbers import whole_numbers
from secateur.core.errors import ConfigError

if TYPE_CHECKING:
    from secateur.models.diagnoser import DiagnoserConfig
    from secateur.structure.latency import LatencyTable


def profile(
    model: Annotated[
        str,
        typer.Argument(help="Checkpoint of a Diagnoser, or a preset such as base-mha.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="JSON file to write.")] = Path("latency.json"),
    threads: Annotated[int, typer.Option(min=1, help="Threads of one operator.")] = 1,
    tokens: Annotated[
        str,
        typer.Option(help="Further numbers of tokens to measure, such as 16,64, beside the front end's own."),
    ] = "",
    seconds: Annotated[float, typer.Option(help="Seconds of inferences; exports come on top.")] = 60.0,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure one layer at several widths, in ONNX Runtime, and write the table for latency budgets."""
    from secateur.bench.profile import ProfileSettings
    from secateur.bench.profile import profile as measure
    from secateur.core.outputs import result_at
    from secateur.core.progress import quiet
    from secateur.core.records import write_json

    settings = ProfileSettings(seconds=seconds, threads=threads, tokens=whole_numbers("--tokens", tokens))
    config = _configuration(model)
    if out.is_dir():
        raise ConfigError(f"{out} is a folder; give a file, such as {out / 'latency.json'}.")
    with quiet() if as_json else nullcontext(), result_at(out, overwrite=overwrite):
        table = measure(config, settings)
        write_json(out, table)
    if as_json:
        typer.echo(json.dumps(table.to_json()))
    else:
        _show(table, out)


def _configuration(model: str) -> DiagnoserConfig:
    from secateur.models import checkpoint
    from secateur.models.diagnoser import DiagnoserConfig
    from secateur.models.front_end.settings import FrontEndSettings
    from secateur.models.presets import PRESETS, preset_config

    if model in PRESETS:
        # a front end costs what the samples of its window cost, whatever their rate
        return preset_config(
            model, classes=("normal", "fault"), front_end=FrontEndSettings(sampling_rate_hz=12_000.0)
        )
    if not Path(model).is_dir():
        raise ConfigError(
            f"'{model}' is neither a checkpoint folder nor a preset; presets: {', '.join(PRESETS)}."
        )
    described = checkpoint.describe(Path(model))
    if not isinstance(described.config, DiagnoserConfig):
        raise ConfigError(f"{model} holds a transformers model; a Diagnoser is profiled.")
    return described.config


def _show(table: LatencyTable, out: Path) -> None:
    from rich.table import Table

    from secateur.cli.console import Console

    console = Console()
    clock = "CPU" if table.threads == 1 else "wall"
    shown = Table(title=f"one layer of width {table.hidden}, {clock} ms, {table.threads} thread(s)")
    shown.add_column("heads", justify="right")
    shown.add_column("channels", justify="right")
    for count in table.tokens:
        shown.add_column(f"{count} tokens", justify="right")
    dense = (table.heads[-1], table.channels[-1])
    rows = [(count, dense[1]) for count in table.heads] + [(dense[0], count) for count in table.channels[:-1]]
    for heads, channels in rows:
        times = (f"{table.layer_ms(heads, channels, tokens=count):.3f}" for count in table.tokens)
        shown.add_row(str(heads), str(channels), *times)
    console.print(shown)
    checked = table.checked
    console.print(
        f"front end and head: {table.front_end_ms:.2f} ms. A model beside the table "
        f"({checked['layers']} layers, {checked['heads']} heads, {checked['channels']} channels): "
        f"{checked['predicted_ms']:.3f} ms predicted, {checked['measured_ms']:.3f} ms measured"
    )
    console.print(f"table: {out}", soft_wrap=True)
