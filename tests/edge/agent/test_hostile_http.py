"""Requests that are strange, slow, cut short or too large: refused in one line, and the agent goes on."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_machines import GUARD_S, machine_settings
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.config.file import parse_config
from secateur.edge.agent.http import server as serving
from secateur.edge.agent.http.app import ENDPOINTS
from secateur.edge.agent.http.server import Server

TOKEN = {"Authorization": "Bearer secret-token"}


@contextmanager
def _serving(folder: Path, request_timeout_s: float) -> Iterator[tuple[str, int]]:
    (folder / "token").write_text("secret-token")
    http = {
        "port": 0,
        "token": {"file": "token"},
        "requests_per_s": 1e6,
        "largest_upload_mib": 0.1,
        "request_timeout_s": request_timeout_s,
    }
    agent = Agent(parse_config({"machines": [machine_settings()], "http": http}, folder / "agent.yaml"))
    server = Server(agent)
    agent.start()
    server.start()
    yield "127.0.0.1", server.port
    agent.stop()
    server.stop()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A patient agent: no request is refused because this machine is busy."""
    with _serving(tmp_path_factory.mktemp("hostile"), GUARD_S) as found:
        yield found


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """An agent that soon loses patience, for requests that never end."""
    monkeypatch.setattr(serving, "REQUEST_LINE_WITHIN_S", 0.2)
    with _serving(tmp_path, 0.2) as found:
        yield found


@pytest.fixture(scope="module")
def client(address: tuple[str, int]) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"http://{address[0]}:{address[1]}", trust_env=False, timeout=GUARD_S
    ) as found:
        yield found


TEXTS = st.text("aZ09/.%\\\"'<>é\x00 #?", max_size=12)
BODIES = st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
).map(lambda value: json.dumps(value).encode())


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(ENDPOINTS), st.lists(TEXTS, min_size=3, max_size=3), TEXTS, BODIES, st.booleans())
def test_no_request_does_harm(
    client: httpx.Client, endpoint, names: list[str], query: str, body: bytes, known: bool
) -> None:
    path = endpoint.path
    for name, value in zip(("machine", "sensor", "alarm"), ("pump", "drive-end", "x"), strict=True):
        path = path.replace("{" + name + "}", value if known else "{" + name + "}")
    for name in names:
        path = path.replace(path[path.find("{") : path.find("}") + 1], name, 1) if "{" in path else path
    parameters = {entry.name: query for entry in endpoint.query}
    headers = TOKEN | {"Content-Type": "application/json"}
    try:
        request = client.build_request(
            endpoint.method, path, params=parameters, content=body, headers=headers
        )
    except (httpx.InvalidURL, UnicodeError, ValueError):
        return
    answer = client.send(request)
    assert answer.status_code < 500 or answer.status_code == 503
    assert "Traceback" not in answer.text
    if answer.status_code >= 400 and answer.headers["content-type"] == "application/json":
        assert set(answer.json()) <= {"error", "live", "ready"}
    assert client.get("/health/live").json() == {"live": True}


def _speak(address: tuple[str, int], content: bytes) -> bytes:
    """Send something and return what comes until the agent ends the connection."""
    found = b""
    with socket.create_connection(address, timeout=GUARD_S) as channel:
        channel.sendall(content)
        try:
            while piece := channel.recv(4096):
                found += piece
        except ConnectionResetError:
            pass
    return found


def test_a_slow_head_is_cut_off(impatient: tuple[str, int]) -> None:
    assert _speak(impatient, b"GET /api/fleet HTTP/1.1\r\nHost: localhost\r\nX-") == b""


def test_a_slow_head_after_a_quick_request_is_cut_off(
    impatient: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "IDLE_WITHIN_S", 0.2)
    first = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = _speak(impatient, first + b"GET /api/fleet HTTP/1.1\r\nHost: localhost\r\nX-")
    assert answer.count(b"HTTP/1.1") == 1
    assert b" 200 " in answer.splitlines()[0]


UPLOAD = (
    b"POST /api/machines/pump/sensors/drive-end/bursts HTTP/1.1\r\nHost: localhost\r\n"
    b"Authorization: Bearer secret-token\r\nContent-Type: application/octet-stream\r\n"
)


def test_a_slow_body_is_refused(impatient: tuple[str, int]) -> None:
    answer = _speak(impatient, UPLOAD + b"Content-Length: 1000\r\n\r\nSVB1")
    assert b" 408 " in answer.splitlines()[0]


def test_a_large_body_is_refused(address: tuple[str, int], client: httpx.Client) -> None:
    path = "/api/machines/pump/sensors/drive-end/bursts"
    answer = client.post(path, content=bytes(200_000), headers=TOKEN)
    assert answer.status_code == 413
    chunked = client.post(path, content=iter([bytes(60_000)] * 4), headers=TOKEN)
    assert chunked.status_code == 413


def test_a_truncated_upload_changes_nothing(address: tuple[str, int], client: httpx.Client) -> None:
    with socket.create_connection(address) as channel:
        channel.sendall(UPLOAD + b"Content-Length: 500\r\n\r\nSVB1")
        channel.shutdown(socket.SHUT_WR)
        while channel.recv(4096):
            pass
    assert not any(client.get("/api/status").json()["bursts"].values())
    assert client.get("/health/live").json() == {"live": True}


@pytest.mark.parametrize("content", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"X" * 70_000 + b"\r\n\r\n"])
def test_what_is_no_http(address: tuple[str, int], client: httpx.Client, content: bytes) -> None:
    assert b" 400 " in _speak(address, content)
    assert client.get("/health/live").json() == {"live": True}
