"""The container file names nothing that is not there: copied files, extras, commands, paths, the address."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from secateur.cli.app import COMMANDS
from secateur.edge.agent.config.settings import Http
from secateur.edge.agent.http.limits import OPEN_PATHS

ROOT = Path(__file__).parents[3]
UNIT = (ROOT / "deploy" / "secateur-agent.service").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _instructions() -> list[tuple[str, str]]:
    """Return the instructions of the container file, with continued lines joined and comments left out."""
    text = (ROOT / "deploy" / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


@pytest.fixture(scope="module")
def named() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word, rest in _instructions():
        found.setdefault(word, []).append(rest)
    return found


def test_both_stages_have_a_python_that_the_package_runs_on(named: dict[str, list[str]]) -> None:
    versions = [re.search(r"python:([\d.]+)-slim", line)[1] for line in named["FROM"]]
    assert len(versions) == 2
    assert len(set(versions)) == 1  # the environment is copied from one to the other
    assert f"{versions[0]}.99" in SpecifierSet(PROJECT["project"]["requires-python"])


def test_what_the_build_needs_is_copied(named: dict[str, list[str]]) -> None:
    copied = [name for line in named["COPY"] if "--from" not in line for name in shlex.split(line)[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    needed = ["pyproject.toml", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]]
    needed += PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    needed += [PROJECT["tool"]["hatch"]["version"]["path"]]
    for name in needed:
        assert any(Path(name).is_relative_to(other) for other in copied), name
    (install,) = [line for line in named["RUN"] if "pip install" in line]
    extras = re.search(r"'\.\[([\w,]+)\]'", install)[1].split(",")
    assert set(extras) <= PROJECT["project"]["optional-dependencies"].keys()
    example = yaml.safe_load((ROOT / "deploy" / "agent.yaml").read_text())
    buses = {"opcua", "modbus"}  # sources that need packages of their own, which nobody adds to a container
    assert buses <= set(extras)
    assert "modbus" in {source["type"] for source in example["sources"]}
    assert re.search(r"-c (\S+)", install)[1] in copied


def test_the_command_is_that_of_the_package_and_of_the_service(named: dict[str, list[str]]) -> None:
    (command,) = map(json.loads, named["ENTRYPOINT"])
    program, subcommand, _ = command
    assert Path(program).name in PROJECT["project"]["scripts"]
    assert subcommand in COMMANDS
    (environment,) = [shlex.split(line)[-1] for line in named["COPY"] if "--from" in line]
    assert Path(program).parent == Path(environment) / "bin"
    assert f"ExecStart={' '.join(command)}" in UNIT


def test_the_health_check_asks_an_address_that_is_served_without_a_token(named: dict[str, list[str]]) -> None:
    (check,) = named["HEALTHCHECK"]
    port, path = re.search(r"http://127\.0\.0\.1:(\d+)(/[\w/]+)", check).groups()
    assert path in OPEN_PATHS
    assert int(port) == Http().port == int(named["EXPOSE"][0])
    arguments = json.loads(check[check.index("[") :])
    compile(arguments[-1], "the health check", "exec")


def test_it_runs_without_rights_and_keeps_its_state(named: dict[str, list[str]]) -> None:
    (user,), (volume,) = named["USER"], named["VOLUME"]
    (made,) = [line for line in named["RUN"] if "useradd" in line]
    assert f"install -d -o {user}" in made
    assert volume in made
    example = yaml.safe_load((ROOT / "deploy" / "agent.yaml").read_text())
    assert Path(example["state_folder"]) == Path(volume)
    assert f"StateDirectory={Path(volume).name}" in UNIT
    order = [word for word, _ in _instructions()]
    assert order.index("USER") < order.index("ENTRYPOINT")
