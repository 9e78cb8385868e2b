"""The server in a thread of its own; connections that send nothing are closed."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from secateur.edge.agent.agent import Agent
from secateur.edge.agent.config.settings import Http
from secateur.edge.agent.http.address import bound_socket
from secateur.edge.agent.http.app import create_app

MOST_CONNECTIONS = 200
REQUEST_LINE_WITHIN_S, IDLE_WITHIN_S = 10.0, 10.0
_LARGEST_HEAD = 32 << 10


class TimedProtocol(H11Protocol):
    """HTTP/1.1 that gives a client so long for the head of its first request, and of each that follows."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self._expect_head_within(REQUEST_LINE_WITHIN_S)

    def on_response_complete(self) -> None:
        """Start the clock anew."""
        self._head_timer.cancel()
        self._expect_head_within(IDLE_WITHIN_S + REQUEST_LINE_WITHIN_S)
        super().on_response_complete()

    def _expect_head_within(self, seconds: float) -> None:
        self._head_timer = self.loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._head_timer.cancel()
        super().connection_lost(exc)


class Server:
    """Serves an agent over HTTP.

    Parameters
    ----------
    agent : Agent

    Raises
    ------
    ConfigError
        If the address is taken.
    """

    def __init__(self, agent: Agent) -> None:
        self._socket = bound_socket(agent.config.http)
        self.port: int = self._socket.getsockname()[1]
        self._guard = create_app(agent)
        config = uvicorn.Config(
            self._guard,
            http=TimedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # uvicorn would believe every local program; the guard knows whom to believe
            limit_concurrency=MOST_CONNECTIONS,
            timeout_keep_alive=int(IDLE_WITHIN_S),
            timeout_graceful_shutdown=3,
            h11_max_incomplete_event_size=_LARGEST_HEAD,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> Any:
        await self._server.serve(sockets=[self._socket])

    def start(self) -> None:
        """Start to serve, and return when connections are taken."""
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            threading.Event().wait(0.01)

    def renew(self, settings: Http) -> None:
        """Go over to other tokens and bounds; see :meth:`Guard.renew`."""
        self._guard.renew(settings)

    def stop(self) -> None:
        """Finish the requests at hand."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(10.0)
        self._socket.close()
