"""Options of a command from a YAML file; what stands on the command line wins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

NOT_IN_FILES = frozenset({"settings_file", "help"})


def _take_defaults(context: typer.Context, path: Path | None) -> Path | None:
    """Let the file's values stand where the command line says nothing."""
    if path is None:
        return None
    from secateur.core.documents import read_yaml
    from secateur.core.errors import ConfigError

    content = read_yaml(path)
    names = {
        spelling.removeprefix("--"): str(parameter.name)
        for parameter in context.command.params
        for spelling in (*parameter.opts, *parameter.secondary_opts)
        if parameter.name not in NOT_IN_FILES
    }
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no options; write one a line, such as 'ratio: 13.8'.")
    defaults: dict[str, Any] = {}
    for key, value in content.items():
        spelled = str(key).removeprefix("--").replace("_", "-")
        if spelled not in names:
            allowed = ", ".join(sorted(name for name in names if not name.startswith("no-")))
            raise ConfigError(f"{path}: '{key}' is no option of this command; allowed: {allowed}.")
        if spelled.startswith("no-"):
            raise ConfigError(f"{path}: write '{spelled[3:]}: false' in the place of '{key}'.")
        if isinstance(value, (dict, list)) or value is None:
            raise ConfigError(f"{path}: '{key}' is {value!r}; give one value, or leave the line out.")
        defaults[names[spelled]] = value
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


Settings = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        callback=_take_defaults,
        is_eager=True,
        help="YAML of this command's options, one a line (ratio: 13.8); the command line wins.",
    ),
]
