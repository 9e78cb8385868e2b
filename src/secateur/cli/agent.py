"""``secateur agent``: watch machines continuously."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli import options


def agent(
    config: Annotated[Path, typer.Argument(help="YAML file, see docs/agent.md.", show_default=False)],
    check: Annotated[
        bool, typer.Option("--check", help="Try all that the configuration names, say what it holds, stop.")
    ] = False,
    for_s: Annotated[
        float | None, typer.Option(help="Stop by itself after so many seconds.", min=0.1)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Watch machines continuously: bursts in, levels, diagnoses and alarms out, nothing acknowledged lost."""
    if check:
        _show(config, as_json=as_json)
        return
    from secateur.edge.agent.config.file import read_entries
    from secateur.edge.agent.logs import set_up_logs
    from secateur.edge.agent.service import run

    set_up_logs(read_entries(config).log_level)
    run(config, told=lambda address: _tell(address, as_json=as_json), for_s=for_s)


def _tell(address: str, *, as_json: bool) -> None:
    typer.echo(json.dumps({"address": address}) if as_json else f"listening on {address}")


def _show(path: Path, *, as_json: bool) -> None:
    from secateur.edge.agent.trial import check

    checked = check(path)
    found = checked.config
    summary = {
        "file": str(path),
        "machines": len(found.machines),
        "sensors": len(found.places()),
        "sources": [source.type for source in found.sources],
        "sinks": [sink.name for sink in found.sinks],
        "bundles": [f"{name} {version}" for name, version in checked.bundles.items()],
        "http": f"{found.http.host}:{found.http.port}",
        "state_folder": str(found.state_folder),
    }
    if as_json:
        typer.echo(json.dumps(summary))
        return
    for name, value in summary.items():
        typer.echo(f"{name}: {(', '.join(value) or 'none') if isinstance(value, list) else value}")
