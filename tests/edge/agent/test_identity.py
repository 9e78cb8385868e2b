"""What tells bursts, alarms and agents apart: nobody's word is taken for more than it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np

from agent_machines import GUARD_S, feed, linked_config, machine_settings, sensor_settings, until
from mosquitto import Mosquitto
from mqtt_consumer import Consumer
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.http.server import Server
from secateur.edge.agent.sources.assembly import burst_of
from secateur.edge.agent.sources.payloads import Piece, to_raw


def test_two_sensors_may_give_their_bursts_the_same_keys(
    tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    machine = machine_settings()
    machine["sensors"].append(sensor_settings(name="fan-end"))
    agent = Agent(parse_config({"machines": [machine]}, tmp_path / "agent.yaml"))
    agent.start()
    feed(agent, [make_burst(1, said_key="1", sensor=name) for name in ("drive-end", "fan-end", "fan-end")])
    results = [path.view.result for path in agent.paths.values()]
    assert [result["key"] for result in results] == ["pump/drive-end/1", "pump/fan-end/1"]
    assert agent.twice == 1
    agent.stop()


def test_keys_that_begin_alike_are_alarms_of_their_own(
    tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    limits = {"raise_after": 1, "raise_window": 1, "clear_after": 1, "reopen_within_s": 0.0}
    absolute = {"rms": {"warning": 5.0, "alarm": 9.0}}
    machines = [machine_settings(limits=limits | {"absolute": absolute})]
    agent = Agent(parse_config({"machines": machines}, tmp_path / "agent.yaml"))
    agent.start()
    for number in range(4):
        factor = 40.0 if number % 2 == 0 else 1.0
        samples = make_burst(number).samples * factor
        feed(agent, [make_burst(number, samples=samples, said_key=f"gateway-7-hall-3-{number}")])
    assert len({alarm.id for alarm in agent.alarms.latest()}) == 2
    agent.stop()


def test_the_time_of_arrival_makes_no_new_burst_of_one_with_a_number() -> None:
    def key(arrived_unix_s: float, **said: Any) -> str:
        piece = Piece(samples=np.ones(4, dtype=np.float32), **said)
        found = burst_of("m", "s", piece, piece.samples)
        return Burst(
            machine="m",
            sensor="s",
            samples=found.samples,
            measured_unix_s=found.measured_unix_s if found.timed else arrived_unix_s,
            number=found.number,
            timed=found.timed,
        ).key

    assert key(1.0, number=3) == key(2.0, number=3)
    assert key(1.0, number=3) != key(1.0, number=4)
    assert key(1.0, number=3, measured_unix_s=1.0) != key(1.0, number=3, measured_unix_s=2.0)
    assert key(1.0) != key(2.0)  # nothing tells them apart but the time


def test_agents_of_one_name_and_folder_differ_at_the_broker_and_stay_the_same_over_restarts(
    tmp_path: Path,
) -> None:
    topic = "plant/{machine}/{sensor}/burst"
    sources = [{"type": "mqtt", "topic": topic}, {"type": "mqtt", "topic": f"other/{topic}"}]

    def clients(state: str, sources: list[dict[str, str]]) -> dict[str, str]:
        config = linked_config(tmp_path, sources, [])
        agent = Agent(config.model_copy(update={"state_folder": tmp_path / state}))
        found = {source._settings.topic: source._client._client_id.decode() for source in agent.sources}
        agent.stop()
        return found

    first = clients("one", sources)
    assert clients("one", sources[::-1]) == first  # another order: the broker keeps their subscriptions
    (tmp_path / "one").rename(tmp_path / "moved")
    assert clients("moved", sources) == first
    assert not set(clients("one", sources).values()) & set(first.values())
    assert len(set(first.values())) == 2


def test_names_of_a_plant_in_its_own_language(
    broker: Mosquitto, tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    """Over MQTT, HTTP, Sparkplug and files: names with spaces and letters of any language are names."""
    (tmp_path / "token").write_text("secret-token")
    machine = machine_settings(name="Lager außen", limits={"raise_after": 1, "raise_window": 1})
    link = {"port": broker.port}
    value = {
        "machines": [machine | {"name": "Pumpe Süd 1"}, machine_settings() | {"name": "送风机"}],
        "sources": [link | {"type": "mqtt", "topic": "Halle 3/{machine}/{sensor}", "payload": "raw"}],
        "sinks": [
            link | {"type": "mqtt", "topic": "out"},
            link | {"type": "sparkplug", "group": "g", "node": "n"},
        ],
        "http": {"port": 0, "token": {"file": "token"}},
    }
    agent = Agent(parse_config(value, tmp_path / "agent.yaml"))
    server, consumer = Server(agent), Consumer(broker.port, "#")
    agent.start()
    server.start()
    until(lambda: agent.sources[0].status()["connected"])
    for number in range(22):
        burst = make_burst(number, knocks=9.0 * (number > 20))
        piece = Piece(samples=burst.samples, number=number, key=f"k{number}" if number else "")
        consumer.publish("Halle 3/Pumpe Süd 1/Lager außen", to_raw(piece))
    topics = {"out/Pumpe Süd 1/Lager außen/alarm", "spBv1.0/g/DDATA/n/Pumpe Süd 1:Lager außen"}
    consumer.wait(lambda found: topics <= {message.topic for message in found})
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=GUARD_S) as client:
        assert client.get("/api/machines/Pumpe Süd 1/sensors/Lager außen").json()["level"] == "alarm"
        assert 'machine="Pumpe Süd 1",sensor="Lager außen"' in client.get("/metrics").text
        (alarm,) = client.get("/api/alarms", params={"machine": "Pumpe Süd 1"}).json()["alarms"]
        headers = {"Authorization": "Bearer secret-token"}
        where = f"/api/alarms/{quote(alarm['id'])}/acknowledge"
        assert client.post(where, json={"author": "Jürgen"}, headers=headers).status_code == 200
        assert "Pumpe Süd 1" in client.get("/api/alarms.csv").text
    agent.stop()
    server.stop()
    consumer.close()
    assert (tmp_path / "state" / "baselines" / "Pumpe Süd 1" / "Lager außen.json").is_file()
