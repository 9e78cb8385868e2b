"""``secateur init``: a recordings.yaml to complete, from the files of a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from secateur.cli import options
from secateur.cli.counted import counted


def init(
    folder: Annotated[Path, typer.Argument(help="Folder that holds the recordings.", show_default=False)],
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Write a new draft in place of a recordings.yaml that is there."),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Write a recordings.yaml to complete: what the files say is filled in, the rest is marked."""
    from secateur.core.errors import ConfigError
    from secateur.core.files import write_aside
    from secateur.signals.readers.described import DESCRIPTION_NAMES
    from secateur.signals.readers.draft import draft_description

    present = [folder / name for name in DESCRIPTION_NAMES if (folder / name).exists()]
    if present and not overwrite:
        raise ConfigError(f"{present[0]} exists; give --overwrite to write a new draft in its place.")
    path = present[0] if present else folder / DESCRIPTION_NAMES[0]
    draft = draft_description(folder)
    with write_aside(path) as aside:
        aside.write_text(draft.text, encoding="utf-8")
    if as_json:
        told = {"description": str(path), "files": draft.files, "to_fill_in": draft.to_fill_in}
        typer.echo(json.dumps({**told, "left_out": draft.unreadable}))
        return
    typer.echo(
        f"{path}: {counted(draft.files, 'recording')}, {counted(draft.to_fill_in, 'place')} to fill in. "
        f"Complete them, then run: secateur data check {folder}"
    )
    for reason in draft.unreadable:
        typer.echo(f"left out: {reason}")
