"""State that a failing disk or another version has spoilt: told, and never a reason to stop watching."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from agent_machines import feed, machine_settings
from secateur.core.errors import CheckpointError
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.http.reading import brief
from secateur.edge.agent.outbox.database import connect
from secateur.edge.agent.outbox.repair import check, export
from secateur.edge.agent.state.levels import Level

Make = Callable[..., Burst]


def _agent(folder: Path) -> Agent:
    agent = Agent(parse_config({"machines": [machine_settings()]}, folder / "agent.yaml"))
    agent.start()
    return agent


@pytest.fixture
def state(tmp_path: Path, make_burst: Make) -> Path:
    """The state of an agent whose pump has an alarm."""
    agent = _agent(tmp_path)
    feed(agent, [make_burst(number, knocks=4.0 if number >= 20 else 0.0) for number in range(30)])
    assert agent.paths["pump", "drive-end"].levels.level is Level.ALARM
    agent.stop()
    return tmp_path / "state"


def _change(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


SPOILT: dict[str, Sequence[str]] = {
    "causes are no JSON": ["UPDATE alarms SET causes = '{\"rms\": al'"],
    "causes are no mapping": ["UPDATE alarms SET causes = '[1]'"],
    "a cause of no level": ['UPDATE alarms SET causes = \'{"rms": "alaqm"}\''],
    "no text": ["UPDATE alarms SET causes = CAST(x'ff00' AS TEXT)"],
    "no level": ["UPDATE alarms SET level = 9", "UPDATE alarm_events SET level = -3"],
    "counts are no numbers": ["UPDATE counters SET value = 'x'"],
}


@pytest.mark.parametrize("what", SPOILT)
def test_a_spoilt_row_stops_nothing(what: str, state: Path, make_burst: Make) -> None:
    _change(state / "agent.sqlite", *SPOILT[what])
    agent = _agent(state.parent)
    feed(agent, [make_burst(number, knocks=4.0) for number in range(30, 36)])
    assert agent.intake.counts == {"taken": 6}
    assert agent.paths["pump", "drive-end"].levels.level is Level.ALARM
    (alarm,) = agent.alarms.latest(open_only=True)
    assert alarm.level is Level.ALARM
    assert agent.alarms.events(alarm.id)
    assert len(list(agent.alarms.csv())) == 2
    agent.stop()


def test_a_spoilt_trend_does_not_make_a_stored_burst_a_failed_one(state: Path, make_burst: Make) -> None:
    _change(state / "trends.sqlite", "UPDATE trend SET sums = '{bad'")
    agent = _agent(state.parent)
    feed(agent, [make_burst(number, knocks=4.0) for number in range(30, 33)])
    assert agent.intake.counts == {"taken": 3}
    last = agent.trends.read("pump", "drive-end", tier="hours", indicator="rms")[-1]
    assert last["means"]["rms"] > 0
    agent.stop()


def test_what_cannot_be_shown_is_stored_all_the_same(
    state: Path, make_burst: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = _agent(state.parent)
    monkeypatch.setattr(agent.trends, "add", lambda *_: 1 / 0)
    feed(agent, [make_burst(40)])
    assert agent.intake.counts == {"taken": 1}
    agent.stop()


def test_a_damaged_baseline_ends_neither_the_watch_nor_an_alarm(state: Path, make_burst: Make) -> None:
    file = state / "baselines" / "pump" / "drive-end.json"
    file.write_bytes(bytes(500))
    agent = _agent(state.parent)
    path = agent.paths["pump", "drive-end"]
    feed(agent, [make_burst(number) for number in range(30, 60)])
    assert agent.intake.counts == {"taken": 30}
    assert path.levels.level is Level.ALARM
    assert brief(agent, path)["bearing_state"] == "alarm"
    assert "is not a baseline" in brief(agent, path)["baseline_trouble"]
    agent.stop()
    assert file.read_bytes() == bytes(500)
    agent = _agent(state.parent)
    path = agent.paths["pump", "drive-end"]
    path.commission_anew()
    feed(agent, [make_burst(number) for number in range(60, 80)])
    assert path.baseline.is_learned("all speeds")
    assert brief(agent, path)["bearing_state"] == "normal"
    agent.stop()


def test_a_baseline_at_the_place_of_an_earlier_version_is_told(state: Path, make_burst: Make) -> None:
    """Else the fault of an open alarm would be learned as the healthy machine."""
    file = state / "baselines" / "pump" / "drive-end.json"
    former = file.rename(state / "baselines" / "pump.drive-end.json")
    agent = _agent(state.parent)
    path = agent.paths["pump", "drive-end"]
    feed(agent, [make_burst(number) for number in range(30, 60)])
    assert path.levels.level is Level.ALARM
    assert f"move it to {file}" in brief(agent, path)["baseline_trouble"]
    agent.stop()
    former.rename(file)
    agent = _agent(state.parent)
    assert agent.paths["pump", "drive-end"].baseline.is_learned("all speeds")
    agent.stop()


def test_a_database_of_another_version_is_told_and_left_alone(state: Path) -> None:
    file = state / "agent.sqlite"
    _change(file, "ALTER TABLE results RENAME COLUMN crc TO checksum")
    before = file.read_bytes()
    for act in (connect, check, lambda path: list(export(path))):
        with pytest.raises(CheckpointError, match=r"another version .* table results .*checksum"):
            act(file)
    with pytest.raises(CheckpointError, match="another version"):
        _agent(state.parent)
    assert file.read_bytes() == before
