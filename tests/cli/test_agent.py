"""The commands of the agent as a user types them: check, run, stop, outbox, commission, replay."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from agent_machines import GUARD_S, SAMPLES, machine_settings, until
from mosquitto import Mosquitto
from secateur.cli.app import run


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    """A configuration that replays forty bursts into a log, as fast as they are taken."""
    noise = np.random.default_rng(0).standard_normal(40 * SAMPLES).astype(np.float32)
    np.save(tmp_path / "healthy.npy", noise)
    config = {
        "machines": [machine_settings()],
        "sources": [
            {
                "type": "replay",
                "file": "healthy.npy",
                "machine": "pump",
                "sensor": "drive-end",
                "speed_factor": 0,
            }
        ],
        "sinks": [{"type": "csv", "folder": "log"}],
        "http": {"port": 0},
    }
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def _said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_check(plant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["agent", str(plant), "--check", "--json"]) == 0
    assert _said(capsys)["sources"] == ["replay"]
    plant.write_text("machines: 3")
    assert run(["agent", str(plant), "--check", "--json"]) == 2
    assert "machines" in _said(capsys)["error"]
    assert run(["agent", str(plant.parent / "none.yaml"), "--json"]) == 2


def test_commission(plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["commission", str(plant), "--sensor", "pump/drive-end", "--json"]
    assert run([*where, "--recording", str(tmp_path / "healthy.npy")]) == 0
    found = _said(capsys)
    assert found["bursts_used"] == 40
    assert found["bands"]["all speeds"]["medians"]["rms"] == pytest.approx(1.0, rel=0.05)
    assert run(where) == 0
    assert _said(capsys)["bands"]["all speeds"]["learned"]
    assert run([*where, "--recording", str(tmp_path / "healthy.npy")]) == 2
    assert "the baseline is there already. To replace it, add --forget" in _said(capsys)["error"]
    believed = [*where, "--forget", "--recording", str(tmp_path / "healthy.npy"), "--shaft-rpm"]
    assert run([*believed, "200000"]) == 2
    assert "is not believed: pump turns at 0 to 100000 rpm" in _said(capsys)["error"]
    np.save(tmp_path / "dead.npy", np.zeros(9999, dtype=np.float32))
    assert run([*where, "--forget", "--recording", str(tmp_path / "dead.npy")]) == 2
    assert "is sound (dead)" in _said(capsys)["error"]
    assert run(where) == 0
    assert _said(capsys)["bands"]["all speeds"]["learned"]  # what failed has cost nothing
    two = np.load(tmp_path / "healthy.npy") * np.array([[1.0], [3.0]], dtype=np.float32)
    np.save(tmp_path / "two.npy", two)
    again = [*where, "--forget", "--recording", str(tmp_path / "two.npy")]
    assert run([*again, "--channel", "1"]) == 0
    assert _said(capsys)["bands"]["all speeds"]["medians"]["rms"] == pytest.approx(3.0, rel=0.05)
    assert run(again) == 2
    assert "choose one with --channel NUMBER (from 0)" in _said(capsys)["error"]
    assert run([*where, "--forget"]) == 0
    assert _said(capsys)["bands"] == {}
    assert run(["commission", str(plant), "--sensor", "pump/none", "--json"]) == 2
    assert "there are pump/drive-end" in _said(capsys)["error"]


def test_a_speed_that_contradicts_the_configuration_teaches_nothing(
    plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["commission", str(plant), "--sensor", "pump/drive-end", "--json"]
    learn = [*where, "--recording", str(tmp_path / "healthy.npy"), "--shaft-rpm"]
    for wrong in ("900", "1600", "2010"):
        assert run([*learn, wrong]) == 2
        told = f"--shaft-rpm {wrong} contradicts the configuration: pump turns at 1800 rpm by its speed.rpm"
        assert told in _said(capsys)["error"]
    assert run(where) == 0
    assert _said(capsys)["bands"] == {}
    assert run([*learn, "1730"]) == 0  # a nominal speed is never quite the true one
    assert _said(capsys)["bursts_used"] == 40


@pytest.mark.parametrize("forget", [[], ["--forget"]])
def test_what_goes_with_a_recording_is_refused_without_one(
    plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], forget: list[str]
) -> None:
    where = ["commission", str(plant), "--sensor", "pump/drive-end", "--json"]
    assert run([*where, "--recording", str(tmp_path / "healthy.npy")]) == 0
    capsys.readouterr()
    for wrong, told in [
        (["--channel", "7"], "--channel goes with --recording"),
        (["--shaft-rpm", "5"], "--shaft-rpm goes with --recording"),
        (["--channel", "7", "--shaft-rpm", "5"], "--channel and --shaft-rpm go with --recording"),
    ]:
        assert run([*where, *forget, *wrong]) == 2
        assert told in _said(capsys)["error"]
    assert run(where) == 0
    assert _said(capsys)["bands"]["all speeds"]["learned"]  # nothing was forgotten


def test_outbox(plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from secateur.edge.agent.config.settings import Outbox as Settings
    from secateur.edge.agent.outbox.database import Database
    from secateur.edge.agent.outbox.store import Entry, Outbox

    state = tmp_path / "state"
    database = Database(state / "agent.sqlite")
    entries = [
        Entry(key=f"k{n}", kind="result", machine="m", sensor="s", payload=b'{"n": %d}' % n) for n in range(5)
    ]
    Outbox(database, Settings(), ["s"]).append(entries)
    database.close()
    assert run(["outbox", "check", str(state), "--json"]) == 0
    assert _said(capsys) == {"sound": True, "rows": 5, "bad_checksums": 0, "messages": []}
    assert run(["outbox", "export", str(state), "--out", str(tmp_path / "out.jsonl"), "--json"]) == 0
    assert _said(capsys)["rows"] == 5
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["payload"]["n"] for line in lines] == [0, 1, 2, 3, 4]
    assert run(["outbox", "repair", str(state), "--json"]) == 0
    assert _said(capsys) == {"damaged": None, "rows": 5, "bad_checksums": 0}
    assert not list(state.glob("*.damaged-*"))
    assert run(["outbox", "check", str(tmp_path / "nowhere"), "--json"]) == 2
    assert "missing" in _said(capsys)["error"]
    for act in ("check", "repair", "export"):  # a wrong name is no damage: nothing may be put in its place
        assert run(["outbox", act, str(plant), "--json"]) == 2
        assert "is no database" in _said(capsys)["error"]
    content = (state / "agent.sqlite").read_bytes()
    (state / "agent.sqlite").write_bytes(content[:4096] + os.urandom(len(content) - 4096))
    assert run(["outbox", "check", str(state), "--json"]) == 1
    assert not _said(capsys)["sound"]
    assert run(["outbox", "repair", str(state), "--json"]) == 0
    assert _said(capsys)["damaged"].endswith("agent.sqlite.damaged-1")


@pytest.fixture
def running(plant: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "secateur", "agent", str(plant), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_an_agent_runs_reloads_and_stops(running: subprocess.Popen[str], plant: Path, tmp_path: Path) -> None:
    assert running.stdout is not None
    assert json.loads(running.stdout.readline())["address"].startswith("http://127.0.0.1:")
    log = tmp_path / "log"
    until(lambda: sum(len(path.read_text().splitlines()) - 1 for path in log.glob("*.csv")) == 40)
    plant.write_text(plant.read_text() + "\nunknown: 1\n")
    running.send_signal(signal.SIGHUP)
    assert running.stderr is not None
    for line in running.stderr:
        if "former configuration goes on" in line:
            break
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=GUARD_S)
    assert running.returncode == 0
    assert all(json.loads(line)["level"] for line in err.splitlines())


def test_replay_publishes_whole_bursts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broker = Mosquitto(tmp_path / "broker")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(-999, 999, 1000, dtype=np.int16))
    try:
        sent = ["replay", str(tmp_path / "x.npy"), "--topic", "plant/m/s/burst", "--port", str(broker.port)]
        options = ["--burst-samples", "100", "--speed-factor", "0", "--parts", "3", "--json"]
        assert run([*sent, "--sampling-rate", "1000", *options]) == 0
        assert _said(capsys) == {"bursts": 10, "topic": "plant/m/s/burst"}
        assert run([*sent, *options]) == 2
        assert "sampling rate" in _said(capsys)["error"]
        for wrong, told in ((["--unit", "µm"], "'µm' is no unit"), (["--channel", "1"], "no channel '1'")):
            assert run([*sent, "--sampling-rate", "1000", *options, *wrong]) == 2
            assert told in _said(capsys)["error"]
        sent[3] = "plant/+/s"
        assert run([*sent, *options]) == 2
        assert "wildcards" in _said(capsys)["error"]
    finally:
        broker.kill()


def test_replay_to_a_broker_that_asks_who_comes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed; run: apt-get install mosquitto")
    users = str(tmp_path / "users")
    subprocess.run([tool, "-c", "-b", users, "ada", "secret"], check=True, capture_output=True)
    broker = Mosquitto(tmp_path / "b", [f"password_file {users}", "allow_anonymous false"])
    np.save(tmp_path / "x.npy", np.ones(200, dtype=np.float32))
    (tmp_path / "password").write_text("secret\n")
    sent = ["replay", str(tmp_path / "x.npy"), "--topic", "plant/m/s/burst", "--port", str(broker.port)]
    sent += ["--sampling-rate", "100", "--burst-samples", "100", "--speed-factor", "0", "--json"]
    assert run(sent) == 1
    assert "refuses the connection" in _said(capsys)["error"]
    assert run([*sent, "--password-file", str(tmp_path / "password")]) == 2
    assert "belongs to a username" in _said(capsys)["error"]
    assert run([*sent, "--host", "a b"]) == 2
    assert "--host: 'a b' is no host" in _said(capsys)["error"]
    assert run([*sent, "--username", "ada", "--password-file", str(tmp_path / "password")]) == 0
    assert _said(capsys)["bursts"] == 2
    broker.kill()
