"""Bundles that are put into the watched folder, or sent: installed, or refused in words that help."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent_machines import machine_settings
from secateur.bundle.archive import pack
from secateur.bundle.signature import create_key
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.http.server import Server
from secateur.edge.agent.models.install_folder import InstallFolder
from secateur.edge.foundation import SHIPPED


def _agent(tmp_path: Path, bundle: str = "foundation-micro", **models: Any) -> Agent:
    (tmp_path / "token").write_text("secret-token")
    (tmp_path / "bundles").mkdir()
    value: dict[str, Any] = {
        "machines": [machine_settings(bundle=bundle, burst_samples=16_384)],
        "models": {"install_folder": "bundles", **models},
        "http": {"port": 0, "token": {"file": "token"}},
    }
    return Agent(parse_config(value, tmp_path / "agent.yaml"))


def test_a_folder_takes_whole_bundles_and_says_what_became_of_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    agent = _agent(tmp_path)
    folder, keeper = tmp_path / "bundles", InstallFolder(agent)
    pack(SHIPPED, folder / "sound bundle.sct")
    (folder / "cut.sct").write_bytes((folder / "sound bundle.sct").read_bytes()[:5000])
    (folder / "empty.sct").touch()
    (folder / "read me.txt").write_text("not a bundle")
    for _ in range(3):
        keeper.look(folder)
    assert [path.name for path in (folder / "installed").iterdir()] == ["sound bundle.sct"]
    assert sorted(path.name for path in (folder / "refused").iterdir()) == ["cut.sct", "empty.sct"]
    assert "sound bundle.sct is foundation-micro" in caplog.text
    assert "at work" in caplog.text
    assert agent.bundles.status()["models"][0]["active"]["version"]
    agent.stop()


def test_a_bundle_that_no_sensor_names_is_said_to_be_of_no_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    agent = _agent(tmp_path, bundle="pumps")
    pack(SHIPPED, tmp_path / "bundles" / "pumps.sct")
    keeper = InstallFolder(agent)
    for _ in range(2):
        keeper.look(tmp_path / "bundles")
    assert "no sensor names it" in caplog.text
    agent.stop()


def test_an_upload_that_is_refused_tells_nothing_of_the_agents_folders(tmp_path: Path) -> None:
    create_key(tmp_path / "key", tmp_path / "key.pub.pem")
    agent = _agent(tmp_path, trusted_keys=["key.pub.pem"])
    server = Server(agent)
    server.start()
    answer = httpx.post(
        f"http://127.0.0.1:{server.port}/api/models?name=pumps",
        content=b"PK\x03\x04 nonsense",
        headers={"Authorization": "Bearer secret-token", "Content-Type": "application/octet-stream"},
        trust_env=False,
    )
    server.stop()
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the archive sent is not a whole bundle archive")
    assert str(tmp_path) not in answer.text
    agent.stop()
