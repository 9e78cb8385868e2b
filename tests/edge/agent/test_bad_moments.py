"""Restarts, reloads and full disks at bad moments: what is shown stays true, and what is learned stays."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent_machines import feed, machine_settings, until
from secateur.core.errors import DataError
from secateur.edge.agent.agent import TRENDS_FILE, Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.connections import FolderSource as FolderSettings
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.config.machines import Sensor
from secateur.edge.agent.config.settings import AgentConfig
from secateur.edge.agent.http.reading import brief
from secateur.edge.agent.outbox.database import StorageError
from secateur.edge.agent.sources.base import Inlet
from secateur.edge.agent.sources.folder import FolderSource
from secateur.edge.agent.state.baseline import Baseline, basis_of
from secateur.edge.agent.state.levels import Level
from secateur.edge.agent.state.trends import Trends

PLACE = ("pump", "drive-end")


def _config(tmp_path: Path, **changed: Any) -> AgentConfig:
    known = {"machines": [machine_settings()], "sinks": [{"type": "csv", "folder": "log"}]}
    return parse_config(known | changed, tmp_path / "agent.yaml")


def test_an_open_alarm_shows_before_the_first_burst_after_a_restart(
    tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    first = Agent(_config(tmp_path))
    first.start()
    feed(first, [make_burst(n) for n in range(25)] + [make_burst(n, knocks=4.0) for n in range(25, 35)])
    first.stop()
    second = Agent(_config(tmp_path))
    found = brief(second, second.paths[PLACE])
    assert (found["sensor_state"], found["level"], found["bearing_state"]) == ("waiting", "alarm", "alarm")
    assert found["causes"]
    assert found["learned"] == 1.0  # the baseline is there, whatever comes next
    second.stop()


def test_the_alarm_of_a_machine_that_is_taken_out_is_closed(
    tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    agent = Agent(_config(tmp_path))
    agent.start()
    feed(agent, [make_burst(n) for n in range(25)] + [make_burst(n, knocks=4.0) for n in range(25, 35)])
    agent.reload(_config(tmp_path, machines=[machine_settings() | {"name": "fan"}]))
    (alarm,) = agent.alarms.latest()
    assert not alarm.is_open
    event = agent.alarms.events(alarm.id)[-1]
    assert (event["kind"], event["text"]) == ("closed", "no longer watched")
    agent.stop()


def test_a_sensor_that_never_speaks_is_silent_too(tmp_path: Path) -> None:
    agent = Agent(_config(tmp_path))
    path = agent.paths[PLACE]
    path.last_sign_running_s -= 1000
    agent.watch_itself()
    agent.watch_itself()
    found = brief(agent, path)
    assert (found["sensor_state"], found["level"], found["bearing_state"]) == ("silent", "normal", "unknown")
    (record,) = agent.outbox.next("log")
    result = json.loads(record.payload)
    assert (result["sensor_state"], result["age_s"] >= 1000) == ("silent", True)
    agent.stop()


def test_a_silent_sensor_repeats_no_old_values(tmp_path: Path, make_burst: Callable[..., Burst]) -> None:
    agent = Agent(_config(tmp_path))
    agent.start()
    feed(agent, [make_burst(1)])
    path = agent.paths[PLACE]
    path.last_sign_running_s -= 1000
    agent.watch_itself()
    feed(agent, [make_burst(2)])
    now_s = agent.clock.now_s()
    seconds = path.view.history(now_s + 100.0)["seconds_in_state"]
    assert set(seconds) == {"learning", "silent"}
    assert seconds["learning"] >= 100.0  # it is so still
    assert not path.silent
    result = path.went_silent(agent.clock.now_s())
    assert (result["indicators"], result["diagnosis"], result["speed"]["rpm"]) == ({}, None, None)
    agent.stop()


def test_a_baseline_of_other_settings_is_not_used(tmp_path: Path) -> None:
    def learned(**changed: Any) -> bool:
        sensor = Sensor.model_validate(machine_settings(**changed)["sensors"][0])
        baseline = Baseline(sensor.commissioning, tmp_path / "b.json", basis=basis_of(sensor))
        if not (tmp_path / "b.json").exists():
            for _ in range(20):
                baseline.learn("all speeds", {"rms": 1.0})
            baseline.save()
        return baseline.is_learned("all speeds")

    assert learned()
    assert learned()
    assert learned(limits={"alarm_score": 20}, silent_after_s=60, full_scale=20)
    for changed in ({"unit": "m/s2"}, {"sampling_rate_hz": 6000}, {"bearing": "6206"}):
        assert not learned(**changed)
    assert not learned(indicators={"bands": 3})


def test_a_power_cut_takes_little_of_what_is_learned_and_a_full_disk_no_burst(
    tmp_path: Path, make_burst: Callable[..., Burst], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(_config(tmp_path))
    agent.start()
    feed(agent, [make_burst(1)])
    sensor = agent.paths[PLACE].sensor
    file = tmp_path / "state" / "baselines" / "pump" / "drive-end.json"
    again = Baseline(sensor.commissioning, file, basis=basis_of(sensor))
    assert again.progress("all speeds") == pytest.approx(1 / 20)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("secateur.edge.agent.state.baseline.write_json", full)
    feed(agent, [make_burst(n) for n in range(2, 25)])
    assert agent.intake.counts["taken"] == 24
    assert agent.paths[PLACE].baseline.is_learned("all speeds")
    monkeypatch.undo()
    agent.stop()
    assert Baseline(sensor.commissioning, file, basis=basis_of(sensor)).is_learned("all speeds")


def test_trends_that_are_damaged_while_the_agent_runs_start_anew(
    tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    agent = Agent(_config(tmp_path))
    agent.start()
    feed(agent, [make_burst(1)])
    agent.trends._connection.commit()
    agent.trends._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    agent.trends._connection.close()
    (tmp_path / "state" / TRENDS_FILE).write_bytes(b"no database at all" * 500)
    agent.trends._connection = sqlite3.connect(tmp_path / "state" / TRENDS_FILE, check_same_thread=False)
    feed(agent, [make_burst(2), make_burst(3)])
    assert agent.intake.counts["taken"] == 3
    assert [entry["start_unix_s"] for entry in agent.trends.read(*PLACE)] == [1.7e9 + 3]
    agent.stop()


def test_trends_that_cannot_be_opened_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trends = Trends(tmp_path / "t.sqlite")
    trends.add(*PLACE, 1.7e9, 0, {"rms": 1.0})
    trends.close()

    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", full)
        with pytest.raises(StorageError, match="could not be opened: database or disk is full"):
            Trends(tmp_path / "t.sqlite")
    again = Trends(tmp_path / "t.sqlite")
    assert len(again.read(*PLACE)) == 1
    again.close()


def test_a_machine_that_stands_still_is_neither_learned_nor_judged(
    tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    banded = machine_settings(commissioning={"bursts": 20, "speed_bands_rpm": [1000]})
    machines = [banded | {"speed": {"lowest_rpm": 200}}]
    agent = Agent(_config(tmp_path, machines=machines))
    agent.start()
    feed(agent, [make_burst(n, speed_rpm=rpm) for n, rpm in enumerate((1800.0, 0.0, 100.0, 1800.0))])
    path = agent.paths[PLACE]
    assert path.baseline.progress("from 1000 rpm") == pytest.approx(2 / 20)
    feed(agent, [make_burst(9, speed_rpm=0.0)])
    result = path.view.result
    assert (result["sensor_state"], result["quality"]["flags"][-1]) == ("ok", "standing still")
    assert result["indicators"] == {}
    assert result["bearing"]["learned"] == pytest.approx(2 / 20)  # of the band that it was judged in last
    agent.stop()


def test_trends_keep_the_latest_of_each_sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secateur.edge.agent.state.trends.TIERS", (("bursts", 0.0, 10),))
    monkeypatch.setattr("secateur.edge.agent.state.trends._TIDY_EVERY", 8)
    trends = Trends(tmp_path / "t.sqlite")
    for number in range(40):
        trends.add("pump", "a", 1.7e9 + number, 0, {"rms": 1.0})
    trends.add("pump", "b", 1.7e9, 0, {"rms": 1.0})
    latest = [entry["start_unix_s"] for entry in trends.read("pump", "a")]
    assert latest == [1.7e9 + number for number in range(30, 40)]
    assert len(trends.read("pump", "b")) == 1
    trends.close()


def test_a_burst_that_waited_does_not_take_the_speed_of_now(
    tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    agent = Agent(_config(tmp_path, machines=[machine_settings() | {"speed": {}}]))
    agent.start()
    agent.set_speed("pump", 1800.0)
    path, found = agent.paths[PLACE], []
    for said in ({"measured_unix_s": time.time() - 5}, {"measured_unix_s": time.time() - 7200}):
        feed(agent, [make_burst(len(found), **said)])
        found.append(path.view.result)
    assert found[0]["speed"]["rpm"] == 1800.0
    assert found[1]["quality"]["flags"] == ["speed stale"]
    assert found[1]["speed"]["age_s"] == pytest.approx(7200, abs=60)
    agent.stop()


def test_a_reload_leaves_a_sensor_alone_that_it_does_not_change(
    tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    agent = Agent(_config(tmp_path))
    agent.start()
    feed(agent, [make_burst(1)])
    path = agent.paths[PLACE]
    other = machine_settings() | {"name": "fan"}
    agent.reload(_config(tmp_path, machines=[machine_settings() | {"description": "hall 3"}, other]))
    assert agent.paths[PLACE] is path
    assert path.machine.description == "hall 3"
    feed(agent, [make_burst(2)])
    assert len(path.view.waterfall()["rows"]) == 2
    agent.reload(_config(tmp_path, machines=[machine_settings(silent_after_s=60)]))
    assert agent.paths[PLACE] is not path
    agent.stop()


def test_an_alarm_outlives_a_band_that_is_not_learned_and_ends_with_a_new_commissioning(
    tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    banded = machine_settings(commissioning={"bursts": 20, "speed_bands_rpm": [1000]}) | {"speed": {}}
    agent = Agent(_config(tmp_path, machines=[banded]))
    agent.start()
    path = agent.paths[PLACE]
    feed(agent, [make_burst(n, speed_rpm=1800.0) for n in range(25)])
    feed(agent, [make_burst(n, knocks=4.0, speed_rpm=1800.0) for n in range(25, 35)])
    feed(agent, [make_burst(n, speed_rpm=600.0) for n in range(35, 60)])
    (alarm,) = agent.alarms.latest()
    assert alarm.is_open
    assert path.baseline.progress("0 to 1000 rpm") == 0.0  # nobody knows that it is healthy there
    agent.reload(_config(tmp_path, machines=[banded | {"description": "hall 3"}]))
    agent.reload(_config(tmp_path, machines=[banded | {"speed": {"max_age_s": 30}}]))
    assert agent.paths[PLACE].levels.level  # another path goes on with it
    agent.paths[PLACE].commission_anew()
    feed(agent, [make_burst(60, speed_rpm=600.0)])
    (alarm,) = agent.alarms.latest()
    assert not alarm.is_open
    assert agent.paths[PLACE].baseline.progress("0 to 1000 rpm") == pytest.approx(1 / 20)
    agent.stop()


def test_a_level_whose_indicator_is_no_longer_watched_is_not_restored(
    tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    agent = Agent(_config(tmp_path))
    agent.start()
    feed(agent, [make_burst(n) for n in range(25)] + [make_burst(n, knocks=4.0) for n in range(25, 35)])
    agent.reload(_config(tmp_path, machines=[machine_settings(indicators={"bands": 3})]))
    assert agent.paths[PLACE].levels.causes == {}  # the baseline was of other indicators
    feed(agent, [make_burst(99)])
    (alarm,) = agent.alarms.latest()
    assert not alarm.is_open
    agent.stop()


def test_counts_go_on_over_a_reload(tmp_path: Path, make_burst: Callable[..., Burst]) -> None:
    sources = [{"type": "folder", "folder": "in"}]
    agent = Agent(_config(tmp_path, sources=sources))
    agent.start()
    feed(agent, [make_burst(1), make_burst(2)])
    until(lambda: agent.deliveries[0].sent == 2)
    agent.sources[0].counts["bursts"] = 5
    for _ in range(2):
        agent.reload(_config(tmp_path, sources=sources))
        assert list(agent.source_counts().values()) == [5]
    feed(agent, [make_burst(3)])
    until(lambda: agent.deliveries[0].sent == 3)
    agent.stop()


def test_a_speed_that_is_no_number_is_refused(tmp_path: Path) -> None:
    agent = Agent(_config(tmp_path, machines=[machine_settings() | {"speed": {}}]))
    agent.set_speed("pump", 1500.0)
    with pytest.raises(DataError, match="a number was expected"):
        agent.set_speed("pump", float("nan"))
    assert agent.paths[PLACE].latest_speed[0] == 1500.0
    agent.stop()


def test_a_gateway_that_sends_its_last_buffer_again_and_again_is_found_out(
    tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    agent = Agent(_config(tmp_path))
    agent.start()
    frozen = make_burst(1).samples
    feed(agent, [make_burst(n, samples=frozen) for n in range(1, 6)])
    path = agent.paths[PLACE]
    assert (path.view.result["sensor_state"], path.view.result["quality"]["flags"]) == (
        "defect",
        ["repeated"],
    )
    assert path.baseline.progress("all speeds") == pytest.approx(1 / 20)
    feed(
        agent, [make_burst(9), make_burst(10, samples=np.zeros(4096)), make_burst(11, samples=np.zeros(4096))]
    )
    assert path.view.result["quality"]["flags"] == ["dead"]
    agent.stop()


def test_a_reload_while_the_disk_takes_nothing_does_not_end_the_watch(
    tmp_path: Path, make_burst: Callable[..., Burst], monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(_config(tmp_path))
    agent.start()
    refusals: list[Exception] = [
        *(StorageError("database or disk is full") for _ in range(3)),
        OSError(28, "No space left on device"),
    ]
    build = agent._build

    def refuse_at_first(config: AgentConfig) -> None:
        if refusals:
            raise refusals.pop()
        build(config)

    monkeypatch.setattr(agent, "_build", refuse_at_first)
    with pytest.raises(DataError, match="No space left"):
        agent.reload(_config(tmp_path, machines=[machine_settings() | {"name": "fan"}]))
    assert (agent.storage_trouble, agent.is_ready) == ("", True)
    feed(agent, [make_burst(1)])
    assert agent.intake.counts == {"taken": 1}
    until(lambda: agent.outbox.status().rows == 0)
    agent.stop()


def test_a_watched_folder_that_cannot_be_made_ends_no_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    settings = FolderSettings.model_validate({"type": "folder", "folder": str(tmp_path / "file" / "in")})
    source = FolderSource(settings, Inlet(submit=lambda _: None, set_speed=lambda *_: None, places={}))
    source.start()
    until(lambda: not source.status()["connected"])
    source.stop()


def test_a_trend_of_a_clock_that_was_wrong_does_not_stretch_the_axis(tmp_path: Path) -> None:
    trends, now_s = Trends(tmp_path / "t.sqlite"), time.time()
    for start_unix_s in (86_400.0, now_s - 60, now_s + 20 * 365 * 86400, now_s - 30):
        trends.add("pump", "a", start_unix_s, 0, {"rms": 1.0})
    assert [entry["start_unix_s"] for entry in trends.read("pump", "a")] == [now_s - 60, now_s - 30]
    trends.close()


@pytest.mark.parametrize("steady_within", [None, 0.05])
def test_a_run_up_raises_no_alarm_where_the_speed_should_be_steady(
    steady_within: float | None, tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    speed = {} if steady_within is None else {"steady_within": steady_within}
    agent = Agent(_config(tmp_path, machines=[machine_settings() | {"speed": speed}]))
    agent.start()
    feed(agent, [make_burst(number, speed_rpm=1800.0 + number) for number in range(30)])
    path = agent.paths[PLACE]
    assert path.baseline.is_learned("all speeds")
    feed(agent, [make_burst(30, speed_rpm=0.0)])
    loud = [5 * make_burst(number).samples for number in range(31, 36)]  # a resonance on the way
    run_up = [make_burst(31 + n, samples=x, speed_rpm=300.0 * (n + 1)) for n, x in enumerate(loud)]
    feed(agent, run_up)
    assert path.levels.level is (Level.ALARM if steady_within is None else Level.NORMAL)
    if steady_within is not None:
        assert path.view.result["quality"]["flags"] == ["speed changing"]
        assert path.view.result["sensor_state"] == "ok"
        feed(
            agent,
            [make_burst(40 + n, samples=5 * make_burst(40 + n).samples, speed_rpm=1800.0) for n in range(5)],
        )
        assert path.levels.level is Level.ALARM  # loud at a steady speed
    agent.stop()
