"""A sender whose clock is in the future spoils neither trends nor alarms, nor what is sent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_machines import feed, linked_config
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst

FUTURE_UNIX_S = 9e10


def test_a_clock_in_the_future_orders_nothing(
    tmp_path: Path, make_burst: Callable[..., Burst], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1.8e9]
    monkeypatch.setattr("time.time", lambda: now[0])
    agent = Agent(linked_config(tmp_path, [], [{"type": "mqtt"}]))
    agent.intake.start()
    sound = [make_burst(number, measured_unix_s=1.8e9 + number + 0.5) for number in range(25)]
    knocking = [make_burst(number, knocks=4.0, measured_unix_s=FUTURE_UNIX_S) for number in range(25, 35)]
    quiet = [make_burst(number, measured_unix_s=1.8e9 + number + 0.5) for number in range(35, 50)]
    for burst in [*sound, *knocking, *quiet]:
        now[0] += 1.0
        feed(agent, [burst])
    records = agent.outbox.next("mqtt", most=99)
    results = [json.loads(record.payload) for record in records if record.kind == "result"]
    assert [result["number"] for result in results] == list(range(50))
    for result in results:
        ahead = 25 <= result["number"] < 35
        assert ("clock ahead" in result["quality"]["flags"]) == ahead
        assert result["quality"]["usable"]
        assert result["stated_unix_s"] == (FUTURE_UNIX_S if ahead else result["measured_unix_s"])
        assert 1.8e9 <= result["measured_unix_s"] <= now[0]
    (alarm,) = agent.alarms.latest()
    assert 1.8e9 < alarm.opened_unix_s <= alarm.changed_unix_s <= now[0]
    trend = agent.trends.read("pump", "drive-end")
    assert len(trend) == 50
    assert trend[-1]["start_unix_s"] <= now[0]
    agent.stop()


def test_the_same_burst_of_a_wrong_clock_comes_once(tmp_path: Path, make_burst: Callable[..., Burst]) -> None:
    agent = Agent(linked_config(tmp_path, [], [{"type": "mqtt"}]))
    agent.intake.start()
    feed(agent, [make_burst(1, measured_unix_s=time.time() + 1e6)] * 2)
    assert agent.twice == 1
    assert len(agent.outbox.next("mqtt")) == 1
    agent.stop()
