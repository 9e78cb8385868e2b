"""Live events for a browser: server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from secateur.edge.agent.agent import Agent
from secateur.edge.agent.http.endpoint import Json

LOOK_S = 0.25
ALIVE_S = 15.0


def events_route(agent: Agent) -> Route:
    """Return ``/api/events``: results, alarms and silent sensors as they come; ``?machine=`` for one."""

    async def serve(request: Request) -> Response:
        if agent.events.is_full:
            return Json({"error": "too many follow the events already."}, status_code=503)
        machine = request.query_params.get("machine")
        return StreamingResponse(_stream(agent, machine), media_type="text/event-stream")

    return Route("/api/events", serve, methods=["GET"])


async def _stream(agent: Agent, machine: str | None) -> AsyncIterator[str]:
    with agent.events.follow() as follower:
        yield "retry: 2000\n\n"
        quiet_s = 0.0
        while agent.is_serving:
            found = [event for event in follower.take() if machine is None or _is_of(event, machine)]
            for event in found:
                yield f"event: {event['kind']}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n"
            quiet_s = 0.0 if found else quiet_s + LOOK_S
            if quiet_s >= ALIVE_S:
                yield ": still here\n\n"
                quiet_s = 0.0
            await asyncio.sleep(LOOK_S)


def _is_of(event: dict[str, Any], machine: str) -> bool:
    return machine in (event.get("machine"), event.get("alarm", {}).get("machine"))
