"""``secateur models``: install, try, activate and roll back the bundles of an agent."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secateur.cli import options
from secateur.core.errors import ConfigError

if TYPE_CHECKING:
    from secateur.edge.agent.models.running import RunningAgent
    from secateur.edge.agent.models.stopped import StoppedAgent

app = typer.Typer(no_args_is_help=True, help="Install, try, activate and roll back the bundles of an agent.")

TOKEN_VARIABLE = "SECATEUR_TOKEN"

Where = Annotated[
    str,
    typer.Argument(
        metavar="AGENT",
        help="Address of a running agent, such as http://127.0.0.1:8765, or the YAML file of a stopped one.",
        show_default=False,
    ),
]
Name = Annotated[str, typer.Argument(help="Name by which sensors call the bundle.", show_default=False)]
Version = Annotated[
    str, typer.Argument(help="Version: twelve digits, as 'models list' shows them.", show_default=False)
]
TokenFile = Annotated[
    Path | None,
    typer.Option(help=f"File that holds the agent's token; default: the variable {TOKEN_VARIABLE}."),
]


def _agent(where: str, token_file: Path | None) -> RunningAgent | StoppedAgent:
    logging.getLogger("secateur").addHandler(logging.NullHandler())  # what it has to say stands in the answer
    if "://" not in where:
        from secateur.edge.agent.models.stopped import StoppedAgent

        return StoppedAgent(Path(where))
    from secateur.edge.agent.config.secret import Token
    from secateur.edge.agent.models.running import RunningAgent

    token = None
    if token_file is not None:
        token = Token.model_construct(file=token_file).read()
    elif os.environ.get(TOKEN_VARIABLE):
        token = Token(env=TOKEN_VARIABLE).read()
    return RunningAgent(where, token=token)


@app.command("list")
def show(where: Where, token_file: TokenFile = None, as_json: options.AsJson = False) -> None:
    """Show which versions are installed, which one answers, and how the one in the shadow agrees with it."""
    found = _agent(where, token_file).list()
    if as_json:
        typer.echo(json.dumps(found))
        return
    for model in found["models"]:
        _tell(model)
    for model in found["unused"]:
        typer.echo(f"{model['name']}: named by no sensor; installed: {', '.join(model['versions'])}")
    if not found["models"] and not found["unused"]:
        typer.echo("no sensor names a bundle, and none is installed")


@app.command()
def install(
    where: Where,
    bundle: Annotated[Path, typer.Argument(help="Bundle folder or .sct archive.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(help="Name by which sensors call it; default: the name in its manifest.")
    ] = None,
    token_file: TokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Check, try and install a bundle; it runs in the shadow, or works at once where none does."""
    if not bundle.exists():
        raise ConfigError(f"{bundle} is missing; give the folder or the .sct archive of a bundle.")
    found = _agent(where, token_file).install(bundle, name=name)
    if as_json:
        typer.echo(json.dumps(found))
        return
    meaning = {
        "active": "it is at work",
        "candidate": "it runs in the shadow; 'secateur models activate' puts it to work",
        "installed": "no sensor names it yet: write 'bundle: " + found["name"] + "' in the configuration",
    }
    typer.echo(f"{found['name']} {found['version']} is installed: {meaning[found['state']]}")


@app.command()
def activate(
    where: Where, name: Name, version: Version, token_file: TokenFile = None, as_json: options.AsJson = False
) -> None:
    """Put an installed version to work; the one before is kept, to go back to."""
    _told(_agent(where, token_file).activate(name, version), as_json=as_json)


@app.command()
def shadow(
    where: Where,
    name: Name,
    version: Annotated[
        str | None,
        typer.Argument(help="Version: twelve digits; leave it out to end the trial.", show_default=False),
    ] = None,
    token_file: TokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Let an installed version run beside the active one, to see how often both say the same."""
    _told(_agent(where, token_file).shadow(name, version), as_json=as_json)


@app.command("roll-back")
def roll_back(
    where: Where, name: Name, token_file: TokenFile = None, as_json: options.AsJson = False
) -> None:
    """Put the former version to work again."""
    _told(_agent(where, token_file).roll_back(name), as_json=as_json)


@app.command("self-test")
def self_test(
    where: Where,
    name: Name,
    version: Annotated[
        str | None,
        typer.Argument(help="Version: twelve digits; default: all that are installed.", show_default=False),
    ] = None,
    token_file: TokenFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Check signature, checksums and golden windows of installed versions; exit code 1 if one fails."""
    found = _agent(where, token_file).self_test(name, version)
    if as_json:
        typer.echo(json.dumps(found))
    else:
        for entry in found["versions"]:
            told = entry["reason"]
            if entry["passed"]:
                told = f"sound, golden windows differ by at most {entry['golden_max_abs_diff']:.1e}"
            typer.echo(f"{name} {entry['version']}: {told}")
    if not all(entry["passed"] for entry in found["versions"]):
        raise typer.Exit(1)


def _told(model: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(model))
    else:
        _tell(model)


def _tell(model: dict[str, Any]) -> None:
    active, trial = model["active"], model["shadow"]
    if active is None:
        typer.echo(f"{model['name']}: none is at work. {model['trouble']}")
    else:
        typer.echo(
            f"{model['name']}: {active['version']} is at work ({active['format']} {active['precision']}, "
            f"classes {', '.join(active['labels'])}, signature {active['signature']})"
        )
    if trial is not None:
        typer.echo(
            f"  in the shadow: {trial['version']}, says the same in {100 * trial['agreement']:.1f} % of "
            f"{trial['bursts']} bursts ({trial['bursts_needed']} wanted); it answers in "
            f"{100 * trial['answered']:.1f} %, the one at work in {100 * trial['active_answered']:.1f} %; "
            f"{trial['failures']} failures"
        )
    notes = {model["former"]: " (former)", (model.get("candidate") or ""): " (candidate)"}
    for version in model["versions"]:
        if active is None or version != active["version"]:
            typer.echo(f"  installed: {version}{notes.get(version, '')}")
    for reason in model["rolled_back"]:
        typer.echo(f"  given up: {reason}")
