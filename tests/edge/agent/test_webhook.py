"""Alarms to an address of somebody else's: what it answers decides what becomes of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from agent_machines import feed, linked_config, record, until
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.connections import WebhookSink
from secateur.edge.agent.entries import ALARM_SCHEMA
from secateur.edge.agent.sinks.base import RecordRefused, SinkUnavailable
from secateur.edge.agent.sinks.webhook import Webhook


class _Office(HTTPServer):
    """Answers with the statuses that it is told, and notes what comes."""

    statuses: list[int]
    seen: list[tuple[dict[str, str], bytes]]


class _Clerk(BaseHTTPRequestHandler):
    server: _Office

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((dict(self.headers), content))
        self.send_response(self.server.statuses.pop(0))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def office() -> Iterator[_Office]:
    found = _Office(("127.0.0.1", 0), _Clerk)
    found.statuses, found.seen = [], []
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def _hook(office: _Office, tmp_path: Path, **changed: object) -> Webhook:
    (tmp_path / "token").write_text("secret\n")
    known = {"type": "webhook", "url": f"http://127.0.0.1:{office.server_port}/hook"}
    token = {"token": {"file": str(tmp_path / "token")}}
    return Webhook(WebhookSink.model_validate(known | token | changed))


def test_alarms_alone_unless_all_are_asked_for(office: _Office, tmp_path: Path) -> None:
    assert [_hook(office, tmp_path, **changed).takes_results for changed in ({}, {"send": "all"})] == [
        False,
        True,
    ]


def test_alarms_arrive_while_results_go_elsewhere(
    office: _Office, tmp_path: Path, make_burst: Callable[..., Burst]
) -> None:
    office.statuses = [204] * 9
    hook = {"type": "webhook", "url": f"http://127.0.0.1:{office.server_port}/hook"}
    agent = Agent(linked_config(tmp_path, [], [hook]))
    agent.start()
    feed(agent, [make_burst(n, knocks=4.0 if n >= 25 else 0.0) for n in range(40)])
    until(lambda: agent.outbox.status().rows == 0)
    sent = [json.loads(content) for _, content in office.seen]
    assert sent
    assert all(value["schema"] == ALARM_SCHEMA for value in sent)
    assert agent.deliveries[0].sent == len(sent)
    agent.stop()


def test_a_post_carries_the_key_and_the_token(office: _Office, tmp_path: Path) -> None:
    office.statuses = [204] * 2
    hook = _hook(office, tmp_path)
    hook.publish([record(1), record(2)])
    hook.close()
    assert [json.loads(content)["key"] for _, content in office.seen] == ["k1", "k2"]
    headers = office.seen[0][0]
    assert (headers["Idempotency-Key"], headers["Authorization"]) == ("k1", "Bearer secret")


@pytest.mark.parametrize("status", [301, 401, 403, 404, 405, 408, 410, 429, 500, 503])
def test_nothing_is_given_up_where_the_address_is_at_fault(
    office: _Office, tmp_path: Path, status: int
) -> None:
    office.statuses = [200, status]
    hook = _hook(office, tmp_path, send="all")
    with pytest.raises(SinkUnavailable, match=f"answers {status}") as error:
        hook.publish([record(1), record(2), record(3)])
    assert error.value.acknowledged == 1
    hook.close()


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
def test_a_record_that_is_refused_is_named(office: _Office, tmp_path: Path, status: int) -> None:
    office.statuses = [200, status]
    hook = _hook(office, tmp_path, send="all")
    with pytest.raises(RecordRefused) as error:
        hook.publish([record(1), record(2), record(3)])
    assert error.value.index == 1
    hook.close()


def test_nobody_there(office: _Office, tmp_path: Path) -> None:
    hook = _hook(office, tmp_path, url="http://127.0.0.1:9/hook", send="all")
    with pytest.raises(SinkUnavailable, match="does not answer"):
        hook.publish([record(1)])
    hook.close()


def test_a_key_of_any_language_fits_a_header(office: _Office, tmp_path: Path) -> None:
    office.statuses = [200]
    _hook(office, tmp_path).publish([replace(record(1), kind="alarm", key="Pumpe Süd/außen/1:alarm")])
    ((headers, content),) = office.seen
    assert headers["Idempotency-Key"] == "Pumpe%20S%C3%BCd/au%C3%9Fen/1:alarm"
    assert json.loads(content)["key"] == "Pumpe Süd/außen/1:alarm"
