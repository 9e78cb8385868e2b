"""The plant of ``make demo-plant``: one machine breaks, the others do not, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from agent_machines import GUARD_S, until
from mosquitto import BROKER, REASON, free_port

BURSTS = 60 * 2 * 12_000 // 16_384
DEMO = Path(__file__).parents[3] / "examples" / "demo_plant.py"


@pytest.mark.slow
def test_the_mill_breaks_and_nothing_is_left_behind(tmp_path: Path) -> None:
    if BROKER is None:
        pytest.skip(REASON)
    port = free_port()
    options = ["--minutes", "2", "--speed-factor", "0", "--port", str(port)]
    plant = subprocess.Popen(
        [sys.executable, str(DEMO), *options],
        env={**os.environ, "SECATEUR_DATA": "", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert plant.stdout is not None
    said = ""
    for line in plant.stdout:
        said += line
        if "the recordings are over" in line:
            break
    assert "the recordings are over" in said, said
    agent = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=GUARD_S)
    with agent:
        until(lambda: agent.get("/api/status").json()["bursts"]["taken"] == 3 * BURSTS)
        alarms = agent.get("/api/alarms").json()["alarms"]
    plant.send_signal(signal.SIGTERM)
    plant.communicate(timeout=GUARD_S)
    assert {(alarm["machine"], alarm["highest"]) for alarm in alarms} == {("mill", "alarm")}
    assert not list(tmp_path.glob("demo-plant-*"))


def test_a_folder_without_real_recordings_is_told(tmp_path: Path) -> None:
    if BROKER is None:
        pytest.skip(REASON)
    ended = subprocess.run(
        [sys.executable, str(DEMO), "--data", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"{tmp_path} holds no cwru/")
