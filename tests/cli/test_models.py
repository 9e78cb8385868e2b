"""``secateur models`` on a stopped agent and over HTTP on a running one: the life of a bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from agent_machines import feed, machine_settings
from secateur.bundle.archive import sign_bundle
from secateur.bundle.signature import create_key
from secateur.cli.app import run
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import read_config
from secateur.edge.agent.http.server import Server

SAMPLES = 12_000


@pytest.fixture
def plant(tmp_path: Path, bundle_folder: Path) -> Path:
    """A configuration whose sensor names the bundle ``pumps``, and signed versions ``one`` and ``two``."""
    create_key(tmp_path / "private.pem", tmp_path / "public.pem")
    for seed, name in enumerate(("one", "two")):
        shutil.copytree(bundle_folder, tmp_path / name)
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        manifest["lineage"]["seed"] = seed
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
        sign_bundle(tmp_path / name, tmp_path / "private.pem")
    (tmp_path / "token").write_text("sesame\n")
    config = {
        "machines": [machine_settings(bundle="pumps", burst_samples=SAMPLES)],
        "models": {"trusted_keys": ["public.pem"], "shadow_bursts": 2},
        "http": {"port": 0, "token": {"file": "token"}, "requests_per_s": 1000},
    }
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: object, code: int = 0) -> Any:
        assert run(["models", *map(str, arguments), "--json"]) == code
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def agent(plant: Path) -> Iterator[Agent]:
    found = Agent(read_config(plant))
    found.start()
    yield found
    found.stop()


@pytest.fixture
def address(agent: Agent) -> Iterator[str]:
    server = Server(agent)
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


def _damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(bytes(content))


def test_the_life_of_a_bundle_while_its_agent_is_stopped(plant: Path, said: Any, capsys: Any) -> None:
    folder = plant.parent
    assert run(["agent", str(plant), "--check", "--json"]) == 2
    assert (
        "sensor pump/drive-end, bundle pumps: no version of bundle 'pumps'"
        in json.loads(capsys.readouterr().out)["error"]
    )
    first = said("install", plant, folder / "one", "--name", "pumps")
    assert (first["name"], first["state"]) == ("pumps", "active")
    assert run(["agent", str(plant), "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bundles"] == [f"pumps {first['version']}"]
    second = said("install", plant, folder / "two", "--name", "pumps")
    assert second["state"] == "candidate"
    (model,) = said("list", plant)["models"]
    assert (model["active"]["version"], model["candidate"]) == (first["version"], second["version"])
    assert said("activate", plant, "pumps", second["version"])["former"] == first["version"]
    assert said("roll-back", plant, "pumps")["active"]["version"] == first["version"]
    found = said("self-test", plant, "pumps")["versions"]
    assert {entry["version"]: entry["passed"] for entry in found} == {
        first["version"]: True,
        second["version"]: True,
    }
    said("activate", plant, "pumps", second["version"])
    _damage(folder / "state" / "models" / "pumps" / f"{second['version']}.sct")
    found = said("self-test", plant, "pumps", second["version"], code=1)["versions"]
    assert (found[0]["passed"], found[0]["version"]) == (False, second["version"])
    assert run(["models", "self-test", str(plant), "pumps"]) == 1
    assert f"{first['version']}: sound" in capsys.readouterr().out
    (model,) = said("list", plant)["models"]
    assert model["active"]["version"] == first["version"]
    assert second["version"] in model["rolled_back"][0]


def test_to_look_changes_nothing(plant: Path, said: Any) -> None:
    assert said("list", plant)["models"][0]["trouble"]
    said("self-test", plant, "pumps", code=2)
    assert not (plant.parent / "state").exists()


def test_the_life_of_a_bundle_over_http(
    plant: Path, agent: Agent, address: str, said: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder = plant.parent
    assert "--token-file" in said("install", address, folder / "one", "--name", "pumps", code=2)["error"]
    token = ["--token-file", folder / "token"]
    first = said("install", address, folder / "one", "--name", "pumps", *token)
    monkeypatch.setenv("SECATEUR_TOKEN", "sesame")
    second = said("install", address, folder / "two", "--name", "pumps")
    assert (first["state"], second["state"]) == ("active", "candidate")
    bursts = []
    for number in range(3):
        samples = np.random.default_rng(number).standard_normal(SAMPLES).astype(np.float32)
        place = {"machine": "pump", "sensor": "drive-end", "number": number}
        bursts.append(Burst(**place, samples=samples, measured_unix_s=1.7e9))
    feed(agent, bursts)
    trial = said("list", address)["models"][0]["shadow"]
    assert (trial["bursts"], trial["agreement"]) == (3, 1.0)
    assert trial["answered"] == trial["active_answered"]
    assert run(["models", "list", address]) == 0
    assert "says the same in 100.0 % of 3 bursts" in capsys.readouterr().out
    assert said("shadow", address, "pumps")["shadow"] is None
    assert said("shadow", address, "pumps", second["version"])["shadow"]["bursts"] == 0
    assert said("activate", address, "pumps", second["version"])["active"]["version"] == second["version"]
    assert said("roll-back", address, "pumps")["active"]["version"] == first["version"]
    assert all(entry["passed"] for entry in said("self-test", address, "pumps")["versions"])
    before = said("list", address)
    _damage(folder / "two" / "model.onnx")
    shutil.copytree(folder / "one", folder / "unsigned")
    (folder / "unsigned" / "signature.json").unlink()
    refused = [
        ("install", address, folder / "two"),
        ("install", address, folder / "unsigned"),
        ("install", address, plant),
        ("install", address, folder / "one", "--name", "../x"),
        ("activate", address, "pumps", "12"),
        ("activate", address, "pump", first["version"]),
        ("shadow", address, "pumps", first["version"]),
        ("self-test", address, "../x"),
    ]
    for arguments in refused:
        answer = run(["models", *map(str, arguments), "--json"])
        assert answer in (1, 2), arguments
        assert json.loads(capsys.readouterr().out)["error"]
    assert said("list", address) == before


@pytest.mark.parametrize(
    "where", ["http://127.0.0.1:1", "http://127.0.0.1:1/x", "ftp://x", "none.yaml", "http://"]
)
def test_where_no_agent_is(where: str, said: Any) -> None:
    assert said("list", where, code=1 if where.endswith(":1") else 2)["error"]
