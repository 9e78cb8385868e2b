"""Strange messages on every input of an agent at work, for as long as asked: no crash, no trace, no growth.

``python benchmarks/agent/fuzz.py --seconds 600 --out FILE``; needs mosquitto, hypothesis and schemathesis.
The agent runs in a process of its own. Requests come from its OpenAPI page, messages and files from
hypothesis.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import paho.mqtt.client as paho
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from figures import tell

from agent_machines import SAMPLES, machine_settings
from mosquitto import Mosquitto
from secateur.edge.agent.http.app import ENDPOINTS, openapi
from secateur.edge.agent.logs import set_up_logs
from secateur.edge.agent.service import run
from secateur.edge.agent.sources.payloads import Piece, to_json, to_raw
from secateur.edge.agent.sparkplug.codec import DataType, Metric, Payload, encode

TOKEN = {"Authorization": "Bearer secret-token"}
PLACE = {"machine": "pump", "sensor": "drive-end"}
EXAMPLES = 40
"""Of each input in a round."""

VALUES = st.lists(st.floats(width=32), max_size=40).map(lambda found: np.array(found, dtype=np.float32))
WHOLE = st.integers(0, 1000).map(
    lambda seed: np.random.default_rng(seed).standard_normal(SAMPLES).astype(np.float32)
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.integers(-(2**70), 2**70),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def pieces(draw: st.DrawFn) -> Piece:
    """Draw a burst or a part of one, now and then one that can be used."""
    parts = draw(st.integers(1, 3))
    return Piece(
        samples=draw(VALUES | WHOLE),
        number=draw(st.integers(0, 5)) if parts > 1 else draw(st.none() | st.integers(0, 10**6)),
        part=draw(st.integers(0, parts - 1)),
        parts=parts,
        speed_rpm=draw(st.none() | st.floats(-1e4, 1e4, width=32)),
        unit=draw(st.sampled_from([None, "g", "mm/s"])),
    )


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Draw a message: bytes, JSON of anything, or one of our own formats with a few bytes changed."""
    kind = draw(st.sampled_from(["bytes", "anything", "json", "raw", "sparkplug"]))
    if kind == "bytes":
        return draw(st.binary(max_size=300))
    if kind == "anything":
        return json.dumps(draw(ANYTHING)).encode()
    piece = draw(pieces())
    if kind == "sparkplug":
        metric = Metric(name="samples", value=piece.samples.tobytes(), datatype=DataType.BYTES)
        payload = Payload(metrics=(metric,), seq=draw(st.integers(0, 255)), timestamp_ms=1)
        content = bytearray(encode(payload, with_names=True))
    else:
        content = bytearray(to_json(piece) if kind == "json" else to_raw(piece))
    for _ in range(draw(st.integers(0, 2))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content)


TOPICS = st.sampled_from(
    [
        "json/pump/drive-end",
        "raw/pump/drive-end",
        "json/pump/none",
        "raw/a b/é'\"",
        *(f"spBv1.0/works/{kind}/pump/drive-end" for kind in ("DBIRTH", "DDATA", "DDEATH")),
        *(f"spBv1.0/works/{kind}/pump" for kind in ("NBIRTH", "NDEATH", "NDATA", "NCMD")),
    ]
)


def drawn(*strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Call a function with so many examples, other ones each time."""
    chosen = settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    return lambda act: chosen(given(*strategies)(act))


def serve(folder: Path, port: int, pipe: Connection) -> None:
    """Run the agent that is tried."""
    set_up_logs("error")
    (folder / "token").write_text("secret-token")
    mqtt = {"type": "mqtt", "port": port, "incomplete_after_s": 2.0}
    topic = "{machine}/{sensor}"
    value = {
        "machines": [machine_settings()],
        "sources": [
            mqtt | {"topic": f"json/{topic}", "payload": "json"},
            mqtt | {"topic": f"raw/{topic}", "payload": "raw"},
            mqtt | {"topic": "works", "payload": "sparkplug"},
            {"type": "folder", "folder": "in", "every_s": 0.2},
        ],
        "sinks": [{"type": "mqtt", "port": port, "topic": "out"}],
        "http": {"port": 0, "token": {"file": "token"}, "requests_per_s": 1e6},
    }
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump(value))
    run(path, told=pipe.send)


class Attack:
    """Sends rounds of strange things to an agent.

    Parameters
    ----------
    address : str
        Of its HTTP interface.
    folder : Path
        That it watches.
    port : int
        Of the broker.
    """

    def __init__(self, address: str, folder: Path, port: int) -> None:
        self.counts: Counter[str] = Counter()
        self.bad: list[str] = []
        self._client = httpx.Client(base_url=address, headers=TOKEN, timeout=60.0, trust_env=False)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        page = schemathesis.openapi.from_dict(openapi())
        page.config.update(base_url=address)
        self._operations = [page[endpoint.path][endpoint.method].as_strategy() for endpoint in ENDPOINTS]
        self._broker = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._broker.connect("127.0.0.1", port)
        self._broker.loop_start()

    def round(self) -> dict[str, Any]:
        """Send one round to every input; return what the agent says of itself after it."""
        drawn(st.one_of(self._operations), st.booleans())(self._request)()
        drawn(TOPICS, messages())(self._publish)()
        drawn(st.sampled_from([".json", ".raw", ".npy", ".txt"]), messages())(self._drop)()
        drawn(st.sampled_from(["application/json", "application/octet-stream"]), messages())(self._upload)()
        found: dict[str, Any] = self._client.get("/api/status").json()
        return found

    def _request(self, case: Any, known: bool) -> None:
        if known:
            made = case.path_parameters
            case.path_parameters = {name: PLACE.get(name, value) for name, value in made.items()}
        self._judge("requests", case.call(headers=TOKEN), str(case.path))

    def _upload(self, kind: str, content: bytes) -> None:
        path = "/api/machines/pump/sensors/drive-end/bursts"
        self._judge("uploads", self._client.post(path, content=content, headers={"Content-Type": kind}), path)

    def _judge(self, what: str, answer: Any, path: str) -> None:
        self.counts[what] += 1
        if (answer.status_code >= 500 and answer.status_code != 503) or "Traceback" in answer.text:
            self.bad.append(f"{path}: {answer.status_code}")

    def _publish(self, topic: str, content: bytes) -> None:
        self.counts["messages"] += 1
        self._broker.publish(topic, content, qos=1).wait_for_publish(60.0)

    def _drop(self, suffix: str, content: bytes) -> None:
        self.counts["files"] += 1
        (self._folder / f"{self.counts['files']}{suffix}").write_bytes(content)

    def close(self) -> None:
        """Go."""
        self._client.close()
        self._broker.disconnect()
        self._broker.loop_stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    broker = Mosquitto(folder / "broker")
    mine, other = multiprocessing.get_context("spawn").Pipe()
    agent = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, broker.port, other))
    agent.start()
    attack = Attack(mine.recv(), folder / "in" / "pump" / "drive-end", broker.port)
    memory, last_s = [], time.monotonic() + arguments.seconds
    while time.monotonic() < last_s:
        status = attack.round()
        memory.append(status["memory_bytes"])
        print(len(memory), dict(attack.counts), f"{memory[-1] / 2**20:.1f} MiB", attack.bad[-3:], flush=True)
    agent.terminate()
    agent.join(60.0)
    half = memory[len(memory) // 2 :]
    found = {
        "sent": dict(attack.counts),
        "answers_that_failed": attack.bad,
        "bursts": status["bursts"],
        "failed_in_a_source": sum(source["counts"].get("failed", 0) for source in status["sources"]),
        "exit_code": agent.exitcode,
        "memory_mib": {"steady": half[-1] / 2**20, "growth_over_last_half": half[-1] / half[0] - 1.0},
    }
    attack.close()
    broker.kill()
    tell(found, arguments.out)


if __name__ == "__main__":
    main()
