"""Behind a proxy each client has its own share of requests, and nobody makes one up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from secateur.edge.agent.config.settings import Http
from secateur.edge.agent.http.limits import BURSTS, Guard

PROXY, OTHER = "10.0.0.2", "10.0.0.3"
Ask = Callable[..., int]


async def _answers(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _http(*trusted: str) -> Http:
    return Http(requests_per_s=1e-6 / BURSTS, trusted_proxies=trusted)  # one request, and that is all


@pytest.fixture
def guard() -> Guard:
    return Guard(_answers, _http(PROXY, "192.168.0.0/24"))


@pytest.fixture
def ask(guard: Guard) -> Iterator[Ask]:
    def ask(*forwarded: str, peer: str = PROXY) -> int:
        async def answer() -> int:
            transport = httpx.ASGITransport(app=guard, client=(peer, 4711))
            headers = [("X-Forwarded-For", text) for text in forwarded]
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return (await client.get("/health/live", headers=headers)).status_code

        return asyncio.run(answer())

    return ask


def test_clients_behind_a_trusted_proxy_do_not_share(ask: Ask) -> None:
    assert [ask("203.0.113.1"), ask("203.0.113.2")] == [200, 200]
    assert ask("203.0.113.1") == 429
    assert ask("203.0.113.3, 192.168.0.9") == 200  # a trusted one behind a trusted one
    assert ask("203.0.113.3", "192.168.0.9") == 429  # the same, in two headers
    assert ask("203.0.113.2", peer=f"::ffff:{PROXY}") == 429  # a socket of both families says it so


def test_nobody_makes_up_an_address(ask: Ask) -> None:
    assert [ask(f"198.51.100.{n}, 203.0.113.1") for n in range(3)] == [200, 429, 429]
    assert [ask(f"198.51.100.{n}", peer=OTHER) for n in range(3)] == [200, 429, 429]
    assert [ask(f"198.51.100.{n}", peer="127.0.0.1") for n in range(3)] == [200, 429, 429]


def test_a_reload_takes_other_proxies(ask: Ask, guard: Guard) -> None:
    guard.renew(_http())
    assert [ask("203.0.113.1"), ask("203.0.113.2")] == [200, 429]
    guard.renew(_http(PROXY))
    assert ask("203.0.113.2") == 200
