"""The agent as a systemd service: what it tells systemd, and the unit file that comes with it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from agent_machines import GUARD_S, machine_settings
from secateur.edge.agent import service
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.config.file import read_config
from secateur.edge.agent.http.server import Server
from secateur.edge.agent.systemd import notify, watchdog_interval_s

UNIT = Path(__file__).parents[3] / "deploy" / "secateur-agent.service"


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket that systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        address = f"\0secateur-test-{tmp_path.name}"
        channel.bind(address)
        channel.settimeout(GUARD_S)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + address[1:])
        yield channel


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump({"machines": [machine_settings()], "http": {"port": 0}}))
    return path


def test_ready_alive_and_stopping(
    systemd: socket.socket, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    stop: list[threading.Event] = []
    monkeypatch.setattr(service, "_listen_to_signals", lambda ended, _: stop.append(ended))
    program = threading.Thread(target=service.run, args=(config,))
    program.start()
    told = [systemd.recv(200).decode()]
    while told[-1] != "STOPPING=1":
        told.append(systemd.recv(200).decode())
        if told[-1] == "WATCHDOG=1":
            stop[0].set()
    program.join(GUARD_S)
    assert told[0] == "READY=1"
    assert set(told[1:-1]) == {"WATCHDOG=1"}


def test_a_reload_is_told_from_beginning_to_end_even_where_it_is_refused(
    systemd: socket.socket, config: Path
) -> None:
    agent = Agent(read_config(config))
    server = Server(agent)
    agent.start()
    for content in (config.read_text(), "machines: 3"):
        config.write_text(content)
        service._reload(agent, server, config)
        assert systemd.recv(200).decode().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert systemd.recv(200).decode() == "READY=1"
    agent.stop()
    server.stop()


def test_without_systemd_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    assert not notify("READY=1")
    assert watchdog_interval_s() is None
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not notify("READY=1")
    monkeypatch.setenv("WATCHDOG_USEC", "120000000")
    assert watchdog_interval_s() == 60.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_interval_s() is None


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed; run: apt-get install systemd"
)
def test_the_unit_file_is_understood(tmp_path: Path) -> None:
    content = UNIT.read_text().replace("/opt/secateur/bin/secateur", sys.executable)
    (tmp_path / UNIT.name).write_text(content)
    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        found.returncode,
        found.stdout,
        [line for line in found.stderr.splitlines() if UNIT.name in line],
    ) == (0, "", [])
