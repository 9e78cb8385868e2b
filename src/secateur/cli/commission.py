"""``secateur commission``: learn a sensor's baseline from a recording of the healthy machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from secateur.cli import options


def commission(
    config: Annotated[Path, typer.Argument(help="YAML file of the agent.", show_default=False)],
    sensor: Annotated[str, typer.Option(help="MACHINE/SENSOR.", show_default=False)],
    recording: Annotated[
        Path | None,
        typer.Option(help="NPY, NPZ or WAV of the healthy machine; without it, show the baseline."),
    ] = None,
    channel: Annotated[int, typer.Option(help="Number of the channel.", min=0)] = 0,
    shaft_rpm: Annotated[float | None, typer.Option(help="Speed during the recording.", min=0.1)] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Forget what was learned before.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Learn or show the baseline of a sensor, in each operating band. Stop the agent before learning."""
    from secateur.core.locks import sole_owner
    from secateur.core.progress import quiet
    from secateur.edge.agent.commissioning import learn_from, open_path

    state_folder, path = open_path(config, sensor)
    counts = None
    if forget or recording is not None:
        with sole_owner(state_folder), quiet():
            if forget:
                path.baseline.forget()
            if recording is not None:
                counts = learn_from(path, recording, channel=channel, shaft_rpm=shaft_rpm)
    found = {"sensor": sensor, **path.baseline.summary()}
    if counts is not None:
        found |= {"bursts_used": counts.used, "bursts_passed_over": counts.passed_over}
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    if "bursts_used" in found:
        typer.echo(f"{found['bursts_used']} bursts used, {found['bursts_passed_over']} passed over")
    if not found["bands"]:
        typer.echo(f"{found['sensor']}: nothing learned yet; {found['bursts_needed']} bursts are needed")
    for name, band in found["bands"].items():
        state = "learned" if band["learned"] else f"{100 * band['progress']:.0f} % learned"
        typer.echo(f"{found['sensor']}, {name}: {state}")
        for indicator, median in band["medians"].items():
            typer.echo(f"  {indicator}: {median:.4g}")
