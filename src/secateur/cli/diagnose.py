"""``secateur diagnose``: a waveform file through a bundle."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli import options


def diagnose(
    file: Annotated[
        Path, typer.Argument(help="WAV, FLAC, NPY, NPZ, CSV, MAT or Parquet.", show_default=False)
    ],
    bundle: Annotated[Path, typer.Option(help="Bundle folder or .sct archive.", show_default=False)],
    out: options.Out,
    sampling_rate: Annotated[
        float | None, typer.Option(help="Hz, where the file does not state it.", min=1.0)
    ] = None,
    channel: options.Channel = None,
    shaft_rpm: Annotated[
        float | None,
        typer.Option(help="Turns a minute; without it the model goes by the spectrum alone.", min=1.0),
    ] = None,
    bearing: Annotated[
        str | None, typer.Option(help="Designation, such as 6205; gives the fault lines.")
    ] = None,
    hop_s: Annotated[
        float | None, typer.Option(help="Seconds between windows; default: side by side.", min=0.001)
    ] = None,
    public_key: Annotated[
        list[Path] | None,
        typer.Option(help="PEM file of a key that must have signed the bundle. Repeatable."),
    ] = None,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Diagnose a recording of any length: a table of windows, a summary and a picture."""
    from secateur.core.outputs import result_at
    from secateur.core.progress import quiet
    from secateur.edge.runtime import Runtime
    from secateur.signals.bearings.catalogue import known_bearing
    from secateur.workflow.diagnosis import SUMMARY, diagnose_file, open_waveform

    orders = None if bearing is None else known_bearing(bearing)
    with quiet() if as_json else nullcontext(), result_at(out, marker=SUMMARY, overwrite=overwrite):
        waveform = open_waveform(file, sampling_rate_hz=sampling_rate, channel=channel)
        runtime = Runtime(bundle, trusted=public_key or ())
        result = diagnose_file(
            waveform, runtime, out, shaft_speed_rpm=shaft_rpm, fault_orders=orders, hop_s=hop_s
        )
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _show(result, out)


def _show(result: dict[str, Any], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{result['file']}: {result['label'].replace('_', ' ')}")
    table.add_column("class")
    table.add_column("windows", justify="right")
    table.add_column("mean probability", justify="right")
    for label, share in result["mean_probabilities"].items():
        table.add_row(label.replace("_", " "), str(result["decisions"][label]), f"{100 * share:.1f} %")
    console.print(table)
    passed_over = {name: n for name, n in result["usability"].items() if name != "usable"}
    for name, number in passed_over.items():
        console.print(f"{number} windows passed over: {name}")
    console.print(
        f"{result['windows']} windows, {result['duration_s']:.1f} s of recording in "
        f"{result['seconds']:.1f} s ({result['times_real_time']:.0f} times real time); "
        f"picture: {out / 'timeline.svg'}",
        soft_wrap=True,
    )
