"""What the agent answers is what its OpenAPI page says: every key is described, and nothing else comes."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from agent_machines import GUARD_S, feed, machine_settings
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.http import inference
from secateur.edge.agent.http.app import openapi
from secateur.edge.agent.http.server import Server

jsonschema_rs = pytest.importorskip("jsonschema_rs")
SENSOR = "/api/machines/pump/sensors/drive-end"
NUMBERS = {
    "name": "waveform",
    "datatype": "FP32",
    "shape": [1, 512],
    "data": np.sin(np.arange(512.0) ** 1.5).tolist(),
}


def _closed(schema: Any) -> Any:
    """Return a schema that allows no key which it does not describe."""
    if isinstance(schema, list):
        return [_closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(entry) for name, entry in schema.items()}
    return closed | {"additionalProperties": False} if "properties" in schema else closed


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, bundle_folder: Path) -> Iterator[httpx.Client]:
    """An agent that has seen a healthy machine, a fault, a bad burst, and two versions of a bundle."""
    folder = tmp_path_factory.mktemp("answers")
    (folder / "token").write_text("secret-token")
    config = parse_config(
        {
            "machines": [machine_settings(bundle="pumps", limits={"raise_after": 1, "raise_window": 1})],
            "http": {"port": 0, "token": {"file": "token"}, "requests_per_s": 1e6},
            "sinks": [{"type": "csv", "folder": "log"}],
            "sources": [{"type": "folder", "folder": "in"}],
        },
        folder / "agent.yaml",
    )
    agent = Agent(config)
    agent.bundles.install(bundle_folder, name="pumps")
    agent.bundles.slot("pumps")._run_beside(agent.bundles.slot("pumps").runtime)
    agent.bundles.install(bundle_folder, name="unused")
    agent.start()
    bursts = []
    for number in range(26):
        samples = np.random.default_rng(number).standard_normal(4096) * (9.0 if number == 24 else 0.3)
        samples = samples * (number < 25)
        place = {"machine": "pump", "sensor": "drive-end", "number": number}
        bursts.append(Burst(**place, samples=samples.astype(np.float32), measured_unix_s=1.7e9))
    feed(agent, bursts)
    server = Server(agent)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False, timeout=GUARD_S) as found:
        yield found
    agent.stop()
    server.stop()


CASES: list[tuple[str, str, str, Any]] = [
    ("get", "/api/fleet", "/api/fleet", None),
    ("get", "/api/machines/{machine}", "/api/machines/pump", None),
    ("get", "/api/machines/{machine}/sensors/{sensor}", SENSOR, None),
    ("get", "/api/machines/{machine}/sensors/{sensor}/waveform", f"{SENSOR}/waveform", None),
    ("get", "/api/machines/{machine}/sensors/{sensor}/spectrum", f"{SENSOR}/spectrum", None),
    ("get", "/api/machines/{machine}/sensors/{sensor}/envelope", f"{SENSOR}/envelope", None),
    ("get", "/api/machines/{machine}/sensors/{sensor}/envelope", f"{SENSOR}/envelope?low_hz=2000", None),
    ("get", "/api/machines/{machine}/sensors/{sensor}/waterfall", f"{SENSOR}/waterfall", None),
    ("get", "/api/machines/{machine}/sensors/{sensor}/trend", f"{SENSOR}/trend", None),
    ("get", "/api/alarms", "/api/alarms", None),
    ("get", "/api/outbox", "/api/outbox", None),
    ("get", "/api/status", "/api/status", None),
    ("get", "/api/models", "/api/models", None),
    ("get", "/health/live", "/health/live", None),
    ("get", "/health/ready", "/health/ready", None),
    ("get", "/v2", "/v2", None),
    ("get", "/v2/models/{model}", "/v2/models/pumps", None),
    ("get", "/v2/models/{model}/ready", "/v2/models/pumps/ready", None),
    ("post", "/v2/models/{model}/infer", "/v2/models/pumps/infer", {"inputs": [NUMBERS]}),
    ("post", "/api/models/{model}/self_test", "/api/models/pumps/self_test", {}),
    ("post", "/api/models/{model}/shadow", "/api/models/pumps/shadow", {"version": None}),
    (
        "post",
        "/api/machines/{machine}/sensors/{sensor}/bursts",
        f"{SENSOR}/bursts",
        {"samples": [0.5] * 4096},
    ),
    ("post", "/api/machines/{machine}/sensors/{sensor}/commission", f"{SENSOR}/commission", {}),
]


@pytest.mark.parametrize(("method", "path", "address", "body"), CASES, ids=lambda case: str(case)[:60])
def test_every_key_of_an_answer_is_described(
    client: httpx.Client, method: str, path: str, address: str, body: Any
) -> None:
    headers = {"Authorization": "Bearer secret-token"}
    answer = client.request(method, address, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    _require_described(method, path, answer.json())


def test_an_alarm_and_its_acknowledgement_are_described(client: httpx.Client) -> None:
    (alarm,) = client.get("/api/alarms").json()["alarms"]
    found = client.get(f"/api/alarms/{alarm['id']}").json()
    _require_described("get", "/api/alarms/{alarm}", found)
    headers = {"Authorization": "Bearer secret-token"}
    done = client.post(f"/api/alarms/{alarm['id']}/acknowledge", json={"author": "Ada"}, headers=headers)
    _require_described("post", "/api/alarms/{alarm}/acknowledge", done.json())


def _require_described(method: str, path: str, answer: Any) -> None:
    page = openapi()
    schema = page["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema
    document = {
        "schema": schema,
        "$ref": "#/schema",
        "components": {"schemas": page["components"]["schemas"]},
    }
    jsonschema_rs.validator_for(_closed(document)).validate(answer)


def test_the_example_holds_something_of_everything(client: httpx.Client) -> None:
    sensor = client.get(SENSOR).json()
    assert sensor["result"]["diagnosis"] is not None or sensor["classes"]
    assert client.get("/api/models").json()["unused"]
    assert client.get(f"{SENSOR}/trend").json()["entries"]


def test_inference_as_the_open_inference_protocol_has_it(client: httpx.Client) -> None:
    where = "/v2/models/pumps"
    assert client.get(where).json()["name"] == "pumps"
    flat = client.post(f"{where}/infer", json={"id": "7", "inputs": [NUMBERS]}).json()
    assert (flat["model_name"], flat["id"]) == ("pumps", "7")
    assert [output["name"] for output in flat["outputs"]] == ["logits", "probabilities"]
    rows = NUMBERS | {"data": [NUMBERS["data"]]}
    asked = {"inputs": [rows], "outputs": [{"name": "probabilities"}]}
    found = client.post(f"{where}/infer", json=asked).json()
    assert "id" not in found
    assert found["outputs"] == flat["outputs"][1:]
    assert sum(found["outputs"][0]["data"]) == pytest.approx(1.0, abs=1e-5)


WRONG = [
    ({"inputs": []}, "inputs"),
    ({"inputs": [NUMBERS], "outputs": [{"name": "other"}]}, "outputs.0.name"),
    ({"inputs": [NUMBERS, NUMBERS]}, "each once"),
    ({"inputs": [NUMBERS | {"name": "other"}]}, "waveform must be given"),
    ({"inputs": [NUMBERS | {"datatype": "FP64"}]}, "datatype"),
    ({"inputs": [NUMBERS | {"shape": [2, 512]}]}, "do not fill the shape"),
    ({"inputs": [NUMBERS | {"shape": [512]}]}, "waveform of shape"),
    ({"inputs": [NUMBERS | {"shape": [2, 256]}]}, "waveform of shape"),
    ({"inputs": [NUMBERS | {"data": ["1"] * 512}]}, "not all numbers"),
    ({"inputs": [NUMBERS | {"data": [None] * 512}]}, "not all numbers"),
    ({"inputs": [NUMBERS | {"data": [True] * 512}]}, "not all numbers"),
    ({"inputs": [NUMBERS | {"data": [[1.0] * 300, [1.0] * 212]}]}, "rows of one length"),
    ({"inputs": [{name: value for name, value in NUMBERS.items() if name != "data"}]}, "data"),
    ({"inputs": [NUMBERS | {"data": [1e39] * 512}]}, ""),
]


@pytest.mark.parametrize(("body", "told"), WRONG)
def test_inference_that_is_refused(client: httpx.Client, body: Any, told: str) -> None:
    answer = client.post("/v2/models/pumps/infer", json=body)
    assert answer.status_code == 400, answer.text
    assert told in answer.json()["error"]


def test_metrics_are_what_prometheus_reads(client: httpx.Client) -> None:
    """Each family once: its meaning, its type, then its samples, no two with the same labels."""
    sample = re.compile(r'(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)')
    text = client.get("/metrics").text
    assert text.endswith("\n")
    family, seen = "", set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
            assert ("help", family) not in seen
            seen.add(("help", family))
        elif line.startswith("# TYPE "):
            assert line.split()[2:] in ([family, "counter"], [family, "gauge"])
            assert family.endswith("_total") == line.endswith(" counter")
        else:
            found = sample.fullmatch(line)
            assert found is not None, line
            assert found[1] == family
            assert (family, found[2]) not in seen
            seen.add((family, found[2]))
            float(found[3])
    names = {entry[1] for entry in seen if entry[0] == "help"}
    assert {"secateur_bursts_total", "secateur_sensor_state", "secateur_sink_sent_total"} <= names


def test_inference_is_for_few_at_a_time(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for no token; whoever asks all the time must not take the processor from the machines."""
    monkeypatch.setattr(inference, "_WAITING", threading.BoundedSemaphore(1))
    assert client.post("/v2/models/pumps/infer", json={"inputs": [NUMBERS]}).status_code == 200
    assert inference._WAITING.acquire(blocking=False)
    refused = client.post("/v2/models/pumps/infer", json={"inputs": [NUMBERS]})
    assert (refused.status_code, "at once" in refused.json()["error"]) == (503, True)
    inference._WAITING.release()
    assert client.post("/v2/models/pumps/infer", json={"inputs": [NUMBERS]}).status_code == 200
