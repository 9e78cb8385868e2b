"""A network share whose server is away blocks every call that touches it; the watch over the rest goes on."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from agent_machines import GUARD_S, machine_settings, until
from secateur.core.errors import ConfigError
from secateur.edge.agent import patience
from secateur.edge.agent.config import consistency
from secateur.edge.agent.outbox import delivery
from secateur.edge.agent.service import run
from secateur.edge.agent.sources import folder
from secateur.edge.agent.trial import check, usable_config


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of which no call of the operating system returns."""
    share, over = tmp_path / "share", threading.Event()
    share.mkdir()

    def hanging(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(path: Any, *arguments: Any, **options: Any) -> Any:
            if isinstance(path, str | Path) and Path(path).is_relative_to(share):
                over.wait()
            return call(path, *arguments, **options)

        return called

    for name in ("stat", "lstat", "access", "mkdir", "listdir", "scandir", "open", "readlink"):
        monkeypatch.setattr(os, name, hanging(getattr(os, name)))
    monkeypatch.setattr(patience, "PATIENCE_S", 0.2)
    monkeypatch.setattr(consistency, "_PATIENCE_S", 0.1)
    for module in (folder, delivery):
        monkeypatch.setattr(module, "LATE_S", 0.0)
    yield share
    over.set()


def _written(tmp_path: Path, **changed: Any) -> Path:
    known = {
        "machines": [machine_settings()],
        "sources": [
            {"type": "folder", "folder": "here", "every_s": 0.1},
            {"type": "folder", "folder": "share/in", "every_s": 0.1},
        ],
        "sinks": [{"type": "csv", "folder": "share/log"}],
        "models": {"install_folder": "share/bundles"},
        "http": {"port": 0},
    }
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump(known | changed))
    return path


@pytest.mark.slow
def test_the_agent_starts_watches_and_says_what_hangs(
    share: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "here" / "pump" / "drive-end"
    place.mkdir(parents=True)
    (place / "1.json").write_text(json.dumps({"samples": [0.0, 1.0]}))

    def look(address: str) -> None:
        def asked(name: str) -> Any:
            return httpx.get(f"{address}/api/{name}", trust_env=False, timeout=GUARD_S).json()

        until(lambda: asked("status")["sources"][0]["counts"].get("bursts") == 1)
        until(lambda: "has not answered" in asked("status")["sources"][1]["trouble"])
        until(lambda: "is not acknowledged after" in asked("outbox")["sinks"][0]["trouble"])
        (sink,) = asked("outbox")["sinks"]
        assert (sink["available"], sink["waiting"], sink["sent"]) == (False, 1, 0)

    run(_written(tmp_path), told=look, for_s=0.1)
    for label in ("sources.1.folder", "sinks.0.folder", "models.install_folder"):
        assert f"{label}: no answer within 0.2 s" in caplog.text
    assert "sources.0" not in caplog.text


def test_the_check_tells_of_it_and_a_start_needs_its_state_and_its_secrets(
    share: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"3 troubles: .*sources\.1\.folder: no answer"):
        check(_written(tmp_path))
    with pytest.raises(ConfigError, match="state_folder: no answer within"):
        check(_written(tmp_path, state_folder="share/state"))
    for changed, label in (
        ({"state_folder": "share/state"}, "state_folder"),
        ({"http": {"port": 0, "token": {"file": "share/token"}}}, "http.token"),
    ):
        with pytest.raises(ConfigError, match=f"yaml: {label}: no answer within 0.2 s"):
            usable_config(_written(tmp_path, **changed))
