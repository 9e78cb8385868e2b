"""The ``secateur`` command: gathers the commands and turns every failure into one message and an exit code.

A command is a module of this room, named in :data:`COMMANDS`, that holds a function of the module's name
(or, for a family of commands, a ``typer.Typer`` named ``app``).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Annotated

import typer

from secateur import __version__
from secateur.cli.failures import Failure, describe
from secateur.cli.help_pages import GroupedCommand
from secateur.cli.launched import run_together
from secateur.core.processes import team
from secateur.core.provenance import running

COMMANDS: tuple[str, ...] = (
    "compress",
    "train",
    "pretrain",
    "prune",
    "evaluate",
    "inspect",
    "sia",
    "export",
    "bundle",
    "diagnose",
    "bench",
    "profile",
    "order",
    "report",
    "init",
    "data",
    "agent",
    "models",
    "commission",
    "outbox",
    "replay",
)

# what typer returns for Ctrl-C inside a command
INTERRUPTED = 130


def build(commands: Sequence[str] = COMMANDS) -> typer.Typer:
    """Return the application with the named command modules in the order given."""
    app = typer.Typer(
        name="secateur",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for name in commands:
        module = import_module(f"secateur.cli.{name}")
        if hasattr(module, "app"):
            for command in module.app.registered_commands:
                command.cls = GroupedCommand
            app.add_typer(module.app, name=name)
        else:
            app.command(name, cls=GroupedCommand)(getattr(module, name))
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"secateur {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Cut a transformer that diagnoses bearing faults down to a small, verified model.

    To begin: 'diagnose FILE --bearing 6205 --shaft-rpm 1797 --out DIR' needs no model of your own;
    'compress --data simulated --backbone nano-mha --ratio 2 --out DIR' shows a whole run. Language
    models and encoders are cut by 'prune' and 'compress'.
    """


def run(arguments: Sequence[str], app: typer.Typer | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str
        What stands behind ``secateur`` on the command line.
    app : typer.Typer, optional
        Default: the whole application.

    Returns
    -------
    int
        0, or that of the failure, which has been told on standard error and, if ``--json`` is among the
        arguments, as an object with ``error`` and ``kind`` on standard output.
    """
    try:
        app = app or build()
        with running(arguments):
            outcome = app(args=list(arguments) or ["--help"], prog_name="secateur", standalone_mode=False)
    except typer.Abort:
        failure = describe(KeyboardInterrupt())
    except (Exception, KeyboardInterrupt) as error:
        failure = _wrong_usage(error) or _described(error, arguments)
    else:
        if outcome != INTERRUPTED:
            return outcome if isinstance(outcome, int) else 0
        failure = describe(KeyboardInterrupt())
    _tell(failure, as_json="--json" in arguments)
    return failure.exit_code


def _described(error: BaseException, arguments: Sequence[str]) -> Failure:
    with running(arguments):
        return describe(error)


def _wrong_usage(error: BaseException) -> Failure | None:
    # typer's own errors have no public class in common across its releases; all of them format themselves
    if not hasattr(error, "format_message"):
        return None
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "secateur"
    message = error.format_message().rstrip() or "no command was given"
    if not message.endswith((".", "?")):
        message += "."
    return Failure(
        kind="UsageError",
        message=f"{message} See '{command} --help'.",
        exit_code=getattr(error, "exit_code", 2),
    )


def _tell(failure: Failure, *, as_json: bool) -> None:
    if not failure.message:
        return
    if signal.getsignal(signal.SIGTERM) is signal.default_int_handler:  # as main set it
        # one failure, one message: a launcher that now ends the process must not add a second
        for polite in (signal.SIGTERM, signal.SIGINT):
            signal.signal(polite, signal.SIG_IGN)
    if as_json:
        typer.echo(json.dumps({"error": failure.message, "kind": failure.kind}))
    where = "error" if team().writes else f"error in process {team().rank}"
    typer.secho(f"{where}: {failure.message}", fg=typer.colors.RED, err=True)


def main() -> None:
    """Entry point of the console script: whatever happens, it ends with one message and an exit code."""
    # a polite kill cleans up as Ctrl-C does
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        # names of files need not be text
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    arguments = sys.argv[1:]
    try:
        code = run_together(lambda: run(arguments))
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        failure = _described(error, arguments)
        code = failure.exit_code
        with suppress(Exception):
            _tell(failure, as_json="--json" in arguments)
    _let_go_of_a_closed_pipe()
    sys.exit(code)


def _let_go_of_a_closed_pipe() -> None:
    """Keep Python from complaining at its end that nobody reads its output."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
