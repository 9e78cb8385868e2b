"""One message or request takes no memory out of proportion: it is refused before it is read."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from agent_machines import GUARD_S, SAMPLES, machine_settings, until
from secateur.core.errors import DataError
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.http.server import Server
from secateur.edge.agent.sources.assembly import Assembler
from secateur.edge.agent.sources.base import Inlet
from secateur.edge.agent.sources.folder import read_burst_file
from secateur.edge.agent.sources.payloads import MOST_SAMPLES, Piece, from_raw, most_samples, to_raw
from secateur.edge.agent.sparkplug.codec import Metric, Payload
from secateur.edge.agent.sparkplug.schema import DataType
from secateur.edge.agent.sparkplug.waiting import MOST_WAITING_BYTES, Unborn, Waiting

MESSAGE_BYTES = 16 << 20
READERS = {
    "many numbers": "from_json(b'{\"samples\":[' + b'1,' * (SIZE // 2) + b'1]}', 65536)",
    "many lists": "from_json(b'{\"samples\":[1],\"x\":[' + b'[],' * (SIZE // 3) + b'1]}', 65536)",
    "many metrics": "decode(b'\\x12\\x00' * (SIZE // 2))",
}


@pytest.mark.parametrize("reader", READERS)
def test_a_message_of_many_small_parts_takes_no_more_than_itself(reader: str) -> None:
    script = f"""
from pathlib import Path
from secateur.core.errors import DataError
from secateur.core.memory import peak_resident_bytes
from secateur.edge.agent.sources.payloads import from_json
from secateur.edge.agent.sparkplug.codec import decode
SIZE, before = {MESSAGE_BYTES}, peak_resident_bytes()
try:
    {READERS[reader]}
except DataError:
    print(peak_resident_bytes() - before)
"""
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert int(told) < 6 * MESSAGE_BYTES


def test_a_burst_of_a_wrong_length_is_told_up_to_a_bound() -> None:
    inlet = Inlet(submit=lambda _: None, set_speed=lambda *_: None, places={("m", "s"): 100_000})
    most = inlet.most_samples("m", "s")
    assert most == 400_000
    assert most_samples(64) == 65_536
    assert most_samples(MOST_SAMPLES) == MOST_SAMPLES
    samples = np.ones(most, dtype=np.float32)
    assert len(from_raw(to_raw(Piece(samples=samples)), most).samples) == most
    with pytest.raises(DataError, match="more than 400000 samples"):
        from_raw(to_raw(Piece(samples=np.ones(most + 1, dtype=np.float32))), most)


def test_parts_together_are_bounded_like_one_message() -> None:
    assembler, part = Assembler(incomplete_after_s=GUARD_S), np.ones(60, dtype=np.float32)
    assert assembler.add("m", "s", Piece(samples=part, number=1, part=0, parts=4), most=100) is None
    with pytest.raises(DataError, match="more than 100 samples"):
        assembler.add("m", "s", Piece(samples=part, number=1, part=1, parts=4), most=100)


def test_a_large_file_is_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "1.json").open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(DataError, match="bytes; a burst of this sensor has less"):
        read_burst_file("m", "s", tmp_path / "1.json", most_samples(SAMPLES))


def test_metrics_that_wait_for_a_birth_are_bounded_by_their_number() -> None:
    metrics = tuple(Metric(name=None, alias=n, value=1, datatype=DataType.INT64) for n in range(10_000))
    waiting, out = Waiting(), 0
    for ticket in range(100):
        payload = Payload(metrics=metrics, seq=0, timestamp_ms=None)
        waiting.put(Unborn(node="n", device="d", payload=payload, ticket=ticket))
        out += len(waiting.too_many())
    assert len(waiting) * 10_000 * 100 < MOST_WAITING_BYTES
    assert out + len(waiting) == 100


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    http = {"port": 0, "largest_upload_mib": 1, "request_timeout_s": GUARD_S, "requests_per_s": 1e6}
    agent = Agent(parse_config({"machines": [machine_settings()], "http": http}, tmp_path / "agent.yaml"))
    server = Server(agent)
    agent.start()
    server.start()
    yield server.port
    agent.stop()
    server.stop()


def test_large_bodies_of_many_clients_are_not_held_at_once(port: int) -> None:
    """Inference asks for no token, so anybody may try."""
    head = b"POST /v2/models/x/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    clients, answers = [], []

    def listen(client: socket.socket) -> None:
        answers.append(client.recv(1000))

    for _ in range(4):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(head + b"1" * 900_000)
        threading.Thread(target=listen, args=(client,), daemon=True).start()
        clients.append(client)
    until(lambda: len(answers) == 2)
    assert all(b"503" in answer for answer in answers)
    for client in clients:
        client.close()

    def is_taken() -> bool:
        url = f"http://127.0.0.1:{port}/v2/models/x/infer"
        return httpx.post(url, content=b"1" * 900_000, trust_env=False).status_code == 404

    until(is_taken)
