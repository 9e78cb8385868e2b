"""Write ``docs/cli.md`` from the commands themselves, or check that it still agrees with them.

python docs/make_cli_reference.py            writes the page
python docs/make_cli_reference.py --check    exits with 1 if the page is out of date
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import typer

from secateur.cli.app import build

PAGE = Path(__file__).with_name("cli.md")
PLACEHOLDERS = {int: "N", float: "X", str: "TEXT", Path: "PATH"}

INTRODUCTION = """\
# Command line

Written by `python docs/make_cli_reference.py` from the commands themselves; do not edit by hand.

Every command answers `--help`. With `--json` a command prints one JSON object on standard output and nothing
else there. Progress and notes go to standard error.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | a failure: damaged checkpoint, failed export, broken download, full disk, Ctrl-C or SIGTERM |
| 2 | wrong use or unusable input: unknown name, missing path, damaged recordings, unreachable ratio |

A failure is told in one message on standard error. With `--json` the same message stands in an object with
`error` and `kind` on standard output.

`secateur --version` prints the version.
"""


def reference() -> str:
    """Return the page."""
    root = typer.main.get_command(build())
    parts = [INTRODUCTION, *(_section(path, command) for path, command in _commands(root, ("secateur",)))]
    return "\n".join(parts)


def _commands(group: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


def _section(path: tuple[str, ...], command: Any) -> str:
    kinds = get_type_hints(command.callback)
    arguments = [entry for entry in command.params if entry.param_type_name == "argument"]
    options = [entry for entry in command.params if entry.param_type_name == "option"]
    usage = " ".join([*path, *map(_place, arguments), "[OPTIONS]"])
    rows = [f"| `{entry.name.upper()}` | {_default(entry)} | {_plain(entry.help)} |" for entry in arguments]
    rows += [f"| {_spelling(entry, kinds)} | {_default(entry)} | {_plain(entry.help)} |" for entry in options]
    table = "\n".join(["| option | default | meaning |", "|---|---|---|", *rows])
    return f"## {' '.join(path)}\n\n{_prose(command.help)}\n\n```\n{usage}\n```\n\n{table}\n"


def _place(argument: Any) -> str:
    return argument.name.upper() if argument.required else f"[{argument.name.upper()}]"


def _spelling(option: Any, kinds: dict[str, Any]) -> str:
    if option.is_flag:
        return " / ".join(f"`{spelling}`" for spelling in (*option.opts, *option.secondary_opts))
    return f"`{option.opts[0]} {_placeholder(kinds[option.name])}`"


def _placeholder(kind: Any) -> str:
    if kind in PLACEHOLDERS:
        return PLACEHOLDERS[kind]
    # optional or repeatable: the first of its parts that has a word
    return next(filter(None, map(_placeholder, getattr(kind, "__args__", ()))), "")


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if getattr(option, "is_flag", False) and option.default is not None:
        return f"`{option.opts[0]}`" if option.default else "off"
    if option.default is None:
        return "none"
    return f"`{option.default}`" if option.default != "" else "`''`"


def _prose(text: str) -> str:
    return text.strip().replace("``", "`")


def _plain(text: str) -> str:
    return _prose(text).replace("|", r"\|")


def main() -> int:
    """Write or check the page; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare, do not write")
    page = reference()
    if not parser.parse_args().check:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
        return 0
    print(f"{PAGE} is out of date; run: python docs/{Path(__file__).name}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
