"""``secateur outbox``: look after the agent's database."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli import options
from secateur.core.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="Check, repair or export what an agent has not delivered yet.")

State = Annotated[
    Path, typer.Argument(help="State folder of the agent, or its agent.sqlite.", show_default=False)
]


def _database(state: Path) -> Path:
    from secateur.edge.agent.agent import DATABASE_FILE

    path = state / DATABASE_FILE if state.is_dir() else state
    if path.is_file() and not path.name.startswith(DATABASE_FILE) and not _begins_like_one(path):
        raise ConfigError(f"{path} is no database; give the state folder of an agent, or its agent.sqlite.")
    return path


def _begins_like_one(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


@app.command()
def check(state: State, as_json: options.AsJson = False) -> None:
    """Read the whole database and compare every checksum; nothing is changed. Damage: exit code 1."""
    from secateur.edge.agent.outbox.repair import check as checked

    found = checked(_database(state))
    if as_json:
        summary = {
            "sound": found.sound,
            "rows": found.rows,
            "bad_checksums": found.bad_checksums,
            "messages": list(found.messages),
        }
        typer.echo(json.dumps(summary))
    else:
        typer.echo(f"{'sound' if found.sound else 'damaged'}: {found.rows} results can be read")
        if found.bad_checksums:
            typer.echo(f"{found.bad_checksums} results do not have their checksum")
        for message in found.messages:
            typer.echo(message)
    if not found.sound:
        raise typer.Exit(1)


@app.command()
def repair(state: State, as_json: options.AsJson = False) -> None:
    """Put what can be read of a damaged database into a new one, keep the former; stop the agent first."""
    from secateur.edge.agent.outbox.repair import check as checked
    from secateur.edge.agent.outbox.repair import repair as repaired

    before = checked(_database(state))
    if before.sound:
        whole = {"damaged": None, "rows": before.rows, "bad_checksums": 0}
        told = f"sound: {before.rows} results can be read; there is nothing to repair"
        typer.echo(json.dumps(whole) if as_json else told)
        return
    found = repaired(_database(state))
    if as_json:
        typer.echo(
            json.dumps(
                {"damaged": str(found.damaged), "rows": found.rows, "bad_checksums": found.bad_checksums}
            )
        )
        return
    typer.echo(f"{found.rows} results saved, {found.bad_checksums} left out; damaged file: {found.damaged}")


@app.command()
def export(
    state: State,
    out: Annotated[
        Path | None, typer.Option(help="File of JSON lines to write; default: standard output.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write every result that waits as one JSON object a line, oldest first."""
    from secateur.core.files import write_aside
    from secateur.edge.agent.outbox.repair import export as exported

    entries = exported(_database(state))
    if out is None:
        for entry in entries:
            sys.stdout.write(json.dumps(entry) + "\n")
        return
    if out.exists():
        raise ConfigError(f"{out} exists; choose a new name.")
    count = 0
    with write_aside(out) as aside, aside.open("w", encoding="utf-8") as lines:
        for entry in entries:
            lines.write(json.dumps(entry) + "\n")
            count += 1
    typer.echo(json.dumps({"rows": count, "file": str(out)}) if as_json else f"{count} results: {out}")
