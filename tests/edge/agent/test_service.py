"""The whole agent: bursts in over HTTP, results stored, one alarm a fault, state over restarts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest

from agent_machines import GUARD_S, feed, machine_settings, until
from secateur.edge.agent import service
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.config.settings import AgentConfig
from secateur.edge.agent.http import changing, limits
from secateur.edge.agent.http.server import Server
from secateur.edge.agent.intake import Submission
from secateur.edge.agent.outbox.database import StorageError
from secateur.edge.agent.outbox.store import Record
from secateur.edge.agent.sources.payloads import Piece, to_raw

TOKEN = {"Authorization": "Bearer secret-token"}


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    (tmp_path / "token").write_text("secret-token\n")
    return parse_config(
        {
            "machines": [machine_settings()],
            "http": {"port": 0, "token": {"file": "token"}, "requests_per_s": 1000},
            "sinks": [{"type": "csv", "folder": "log"}],
        },
        tmp_path / "agent.yaml",
    )


@pytest.fixture
def agent(config: AgentConfig) -> Iterator[Agent]:
    found = Agent(config)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def client(agent: Agent) -> Iterator[httpx.Client]:
    server = Server(agent)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=GUARD_S, trust_env=False) as found:
        yield found
    server.stop()


def test_a_fault_raises_one_alarm_and_its_end_closes_it(
    agent: Agent, make_burst: Callable[..., Burst]
) -> None:
    feed(agent, [make_burst(number) for number in range(25)])
    assert agent.alarms.latest() == []
    feed(agent, [make_burst(number, knocks=4.0) for number in range(25, 40)])
    (alarm,) = agent.alarms.latest()
    assert alarm.is_open
    assert alarm.highest.word == "alarm"
    assert "rms" in alarm.causes
    assert {"line_bpfo", "kurtosis"} & set(alarm.causes)
    feed(agent, [make_burst(number) for number in range(40, 170)])
    (alarm,) = agent.alarms.latest()
    assert not alarm.is_open
    feed(agent, [make_burst(number, knocks=4.0) for number in range(170, 180)])
    (alarm,) = agent.alarms.latest()  # it came back within the hour: the same alarm
    assert alarm.is_open
    assert [event["kind"] for event in agent.alarms.events(alarm.id)].count("opened") == 1


def test_what_is_bad_never_becomes_a_diagnosis(agent: Agent, make_burst: Callable[..., Burst]) -> None:
    feed(agent, [make_burst(number) for number in range(25)])
    dead = np.zeros(4096)
    feed(agent, [make_burst(number, samples=dead) for number in range(25, 60)])
    result = agent.paths["pump", "drive-end"].view.result
    assert result["sensor_state"] == "defect"
    assert result["indicators"] == {}
    assert result["diagnosis"] is None
    assert result["bearing"]["level"] == "normal"
    assert agent.alarms.latest() == []


def test_the_same_burst_twice_is_one_result(agent: Agent, make_burst: Callable[..., Burst]) -> None:
    feed(agent, [make_burst(1), make_burst(1), make_burst(2)])
    assert agent.twice == 1


def test_levels_alarms_and_baselines_survive_a_restart(
    config: AgentConfig, make_burst: Callable[..., Burst]
) -> None:
    first = Agent(config)
    first.start()
    feed(first, [make_burst(n) for n in range(25)] + [make_burst(n, knocks=4.0) for n in range(25, 35)])
    first.stop()
    second = Agent(config)
    second.start()
    path = second.paths["pump", "drive-end"]
    assert path.baseline.is_learned("all speeds")
    feed(second, [make_burst(35, knocks=4.0)])
    assert path.view.result["bearing"]["level"] == "alarm"
    assert len(second.alarms.latest()) == 1
    second.stop()


def test_results_reach_the_log_in_order(
    config: AgentConfig, make_burst: Callable[..., Burst], tmp_path: Path
) -> None:
    agent = Agent(config)
    agent.start()
    feed(agent, [make_burst(number) for number in range(12)])
    until(lambda: agent.outbox.status().rows == 0)
    agent.stop()
    (log,) = (tmp_path / "log").glob("*.csv")
    with log.open(newline="") as file:
        sequence = [int(row["sequence"]) for row in csv.DictReader(file)]
    assert len(sequence) == 12
    assert sequence == sorted(sequence)


def test_upload_state_and_metrics(
    client: httpx.Client, agent: Agent, make_burst: Callable[..., Burst]
) -> None:
    where = "/api/machines/pump/sensors/drive-end"
    burst = make_burst(3)
    piece = Piece(samples=burst.samples, number=3, measured_unix_s=1.7e9, key="burst-3", unit="g")
    raw = {"Content-Type": "application/octet-stream"}
    answer = client.post(f"{where}/bursts", content=to_raw(piece), headers=TOKEN | raw)
    assert answer.status_code == 200, answer.text
    body = {"samples": make_burst(4).samples.tolist(), "number": 4, "key": "burst-4"}
    key = "pump/drive-end/burst-4"
    assert client.post(f"{where}/bursts", json=body, headers=TOKEN).json() == {"key": key}
    assert agent.outbox.knows(key)

    sensor = client.get(where).json()
    assert sensor["result"]["key"] == key
    assert sensor["sensor_state"] == "ok"
    waveform = client.get(f"{where}/waveform").json()
    assert max(waveform["samples"]) == pytest.approx(float(make_burst(4).samples.max()), rel=1e-3)
    spectrum = client.get(f"{where}/spectrum").json()
    assert spectrum["lines"]["bpfo"] == pytest.approx(3.585 * 30, rel=1e-3)
    banded = client.get(f"{where}/envelope", params={"low_hz": 2000, "high_hz": 4000}).json()
    assert banded["band_hz"] == [2000, 4000]
    assert client.get(f"{where}/envelope", params={"low_hz": 4000, "high_hz": 2000}).status_code == 400
    assert len(client.get(f"{where}/waterfall").json()["rows"]) == 2
    assert len(client.get(f"{where}/trend").json()["entries"]) == 2
    (entry, _) = client.get(f"{where}/trend", params={"indicator": "rms"}).json()["entries"]
    assert list(entry["means"]) == ["rms"]
    fleet = client.get("/api/fleet").json()
    assert fleet["machines"][0]["sensors"][0]["level"] == "normal"
    assert fleet["machines"][0]["sensors"][0]["bearing_state"] == "learning"
    text = client.get("/metrics").text
    assert "secateur_bearing_level{" not in text  # nobody knows it yet
    assert 'secateur_baseline_learned{machine="pump",sensor="drive-end"} 0.1' in text
    assert 'secateur_bursts_total{outcome="taken"} 2' in text
    assert 'secateur_sensor_state{machine="pump",sensor="drive-end",state="ok"} 1' in text
    assert client.get("/health/ready").json() == {"ready": True}
    assert client.get("/api/status").json()["bursts"]["taken"] == 2
    assert client.get("/api/outbox").json()["hours_left"] > 0


def test_an_alarm_is_acknowledged_and_exported(
    client: httpx.Client, agent: Agent, make_burst: Callable[..., Burst]
) -> None:
    feed(agent, [make_burst(n) for n in range(25)] + [make_burst(n, knocks=4.0) for n in range(25, 35)])
    (alarm,) = client.get("/api/alarms", params={"open": "true"}).json()["alarms"]
    where = f"/api/alarms/{alarm['id']}"
    form = {"author": "=Ada", "comment": "bearing\nordered é"}
    assert client.post(f"{where}/acknowledge", json=form).status_code == 401
    for odd in ({"author": "A\x00da"}, {"author": "A\u202eda"}, {"author": "Ada", "comment": "\x1b[2J"}):
        assert client.post(f"{where}/acknowledge", json=odd, headers=TOKEN).status_code == 400
    found = client.post(f"{where}/acknowledge", json=form, headers=TOKEN).json()
    assert (found["acknowledged_by"], found["comment"]) == ("=Ada", "bearing\nordered é")
    again = client.post(f"{where}/acknowledge", json=form, headers=TOKEN)
    assert again.status_code == 400
    assert "before" in again.json()["error"]
    events = client.get(where).json()["events"]
    assert events[-1]["author"] == "=Ada"
    text = client.get("/api/alarms.csv").text
    (heads, row) = csv.reader(io.StringIO(text, newline=""))
    assert datetime.fromisoformat(row[heads.index("opened_utc")]).utcoffset() == timedelta(0)
    assert row[-2:] == ["'=Ada", "bearing\nordered é"]


def test_commissioning_anew(client: httpx.Client, agent: Agent, make_burst: Callable[..., Burst]) -> None:
    feed(agent, [make_burst(number) for number in range(25)])
    where = "/api/machines/pump/sensors/drive-end"
    assert client.get(where).json()["baseline"]["bands"]["all speeds"]["learned"]
    assert client.post(f"{where}/commission", headers=TOKEN).status_code == 200
    assert client.get(where).json()["baseline"]["bands"] == {}


def test_live_events(client: httpx.Client, agent: Agent, make_burst: Callable[..., Burst]) -> None:
    with client.stream("GET", "/api/events", params={"machine": "pump"}) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        agent.intake.submit(Submission(burst=make_burst(7)))
        data = next(line for line in lines if line.startswith("data: "))
    assert json.loads(data[6:])["result"]["number"] == 7


REFUSED: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/api/machines/pump/sensors/none", {}, 404),
    ("GET", "/api/machines/../sensors/drive-end", {}, 404),
    ("GET", "/api/machines/%2e%2e%2f/sensors/drive-end", {}, 404),
    ("GET", "/nothing", {}, 404),
    ("DELETE", "/api/fleet", {"headers": TOKEN}, 405),
    ("POST", "/api/machines/pump/sensors/drive-end/bursts", {"json": {"samples": [1]}}, 401),
    ("POST", "/api/machines/pump/sensors/drive-end/bursts", {"headers": {"Authorization": "Bearer x"}}, 401),
    (
        "POST",
        "/api/machines/pump/sensors/drive-end/bursts",
        {"json": {"samples": "x"}, "headers": TOKEN},
        400,
    ),
    ("POST", "/api/machines/pump/sensors/drive-end/bursts", {"content": b"x", "headers": TOKEN}, 415),
    ("POST", "/api/models", {"content": b"PK", "headers": TOKEN}, 400),
    ("POST", "/api/alarms/none/acknowledge", {"json": {"author": "a"}, "headers": TOKEN}, 404),
    ("POST", "/api/alarms/none/acknowledge", {"content": b"[" * 100_000, "headers": TOKEN}, 413),
    ("GET", "/api/alarms?most=0", {}, 400),
    ("GET", "/api/alarms?most=1e9", {}, 400),
    ("GET", "/api/fleet", {"headers": {"Host": "evil.example"}}, 421),
    ("GET", "/v2/models/none", {}, 404),
]


@pytest.mark.parametrize(("method", "path", "sent", "status"), REFUSED)
def test_refused(client: httpx.Client, method: str, path: str, sent: dict[str, Any], status: int) -> None:
    answer = client.request(method, path, **sent)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]
    assert "Traceback" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_without_a_token_nothing_can_be_changed(
    config: AgentConfig, make_burst: Callable[..., Burst]
) -> None:
    agent = Agent(config.model_copy(update={"http": config.http.model_copy(update={"token": None})}))
    server = Server(agent)
    server.start()
    agent.start()
    address = f"http://127.0.0.1:{server.port}/api/machines/pump/sensors/drive-end/commission"
    assert httpx.post(address, trust_env=False).status_code == 403
    agent.stop()
    server.stop()


def test_too_many_requests(config: AgentConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: now_s))
    slow = config.http.model_copy(update={"requests_per_s": 1.0})
    agent = Agent(config.model_copy(update={"http": slow}))
    server = Server(agent)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=GUARD_S, trust_env=False) as client:
        made_up = [{"X-Forwarded-For": f"192.0.2.{number}"} for number in range(15)]
        codes = [client.get("/health/live", headers=headers).status_code for headers in made_up]
        now_s = 2.0
        later = [client.get("/health/live").status_code for _ in range(3)]
    assert codes == [200] * 10 + [429] * 5
    assert later == [200, 200, 429]
    agent.stop()
    server.stop()


def test_an_upload_that_waits_for_the_disk_is_answered_when_the_agent_stops(
    client: httpx.Client, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("full")

    monkeypatch.setattr(agent.outbox, "append", full)
    monkeypatch.setattr(changing, "STORED_WITHIN_S", 10 * GUARD_S)
    path, content = "/api/machines/pump/sensors/drive-end/bursts", {"samples": [0.0] * 4096, "number": 1}
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.post, path, json=content, headers=TOKEN)
        until(lambda: agent.storage_trouble == "full")
        agent._stopping.set()
        assert answer.result().status_code == 503
    assert "send the burst again later" in answer.result().json()["error"]


def test_every_endpoint_is_described(client: httpx.Client) -> None:
    page = client.get("/openapi.json").json()
    assert page["paths"]["/api/alarms/{alarm}/acknowledge"]["post"]["security"] == [{"token": []}]
    assert "/v2/models/{model}/infer" in page["paths"]
    for path, operations in page["paths"].items():
        for operation in operations.values():
            named = {entry["name"] for entry in operation["parameters"] if entry["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}


def test_a_silent_sensor_is_told_once(config: AgentConfig, make_burst: Callable[..., Burst]) -> None:
    agent = Agent(config)
    agent.start()
    feed(agent, [make_burst(1)])
    path = agent.paths["pump", "drive-end"]
    agent.watch_itself()
    assert not path.silent
    path.last_sign_running_s -= 1000
    agent.watch_itself()
    agent.watch_itself()
    assert path.silent
    records: list[Record] = agent.outbox.next("log", most=1000)
    seen = [json.loads(record.payload) for record in records]
    silent = [entry for entry in seen if entry["sensor_state"] == "silent"]
    assert len(silent) <= 1
    feed(agent, [make_burst(2)])
    assert not path.silent
    agent.stop()


def test_a_reload_changes_limits_and_keeps_what_is_learned(
    agent: Agent, config: AgentConfig, make_burst: Callable[..., Burst], tmp_path: Path
) -> None:
    feed(agent, [make_burst(number) for number in range(25)])
    changed = parse_config(
        {
            "machines": [machine_settings(limits={"raise_after": 1, "raise_window": 1})],
            "sinks": [{"type": "csv", "folder": "log"}],
            "http": {"port": 0},
        },
        tmp_path / "agent.yaml",
    )
    assert agent.reload(changed) == []
    path = agent.paths["pump", "drive-end"]
    assert path.sensor.limits.raise_after == 1
    assert path.baseline.is_learned("all speeds")
    feed(agent, [make_burst(26, knocks=8.0)])
    assert path.view.result["bearing"]["level"] == "alarm"


def test_a_reload_reads_the_tokens_again_and_keeps_the_address(config: AgentConfig, tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    agent = Agent(config)
    server = Server(agent)
    agent.start()
    server.start()
    url, form = f"http://127.0.0.1:{server.port}/api/alarms/x/acknowledge", {"author": "ada"}

    def status(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(url, json=form, headers=headers, trust_env=False, timeout=GUARD_S).status_code

    def write(port: int) -> None:
        http = {"port": port, "token": {"file": "token"}, "requests_per_s": 1000}
        file.write_text(json.dumps({"machines": [machine_settings()], "http": http}))

    assert (status("secret-token"), status("another-token")) == (404, 401)
    (tmp_path / "token").write_text("another-token")
    write(0)
    service._reload(agent, server, file)
    assert (status("secret-token"), status("another-token")) == (401, 404)
    (tmp_path / "token").write_text("")
    service._reload(agent, server, file)  # refused: nothing has changed
    assert status("another-token") == 404
    about = f"http://127.0.0.1:{server.port}/api/status"
    assert "holds no secret" in httpx.get(about, trust_env=False).json()["config_trouble"]
    (tmp_path / "token").write_text("third-token")
    write(8765)
    service._reload(agent, server, file)
    assert httpx.get(about, trust_env=False).json()["config_trouble"] == ""
    changed = service.usable_config(file, running=True)
    assert agent.reload(changed) == ["http.port"]
    agent.stop()
    server.stop()
