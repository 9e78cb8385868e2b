"""The application: all endpoints behind the guard, and the page that describes them."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from secateur.edge.agent.agent import Agent
from secateur.edge.agent.http import changing, inference, metrics, reading
from secateur.edge.agent.http.endpoint import Call, Endpoint, Json
from secateur.edge.agent.http.limits import Guard, Refused
from secateur.edge.agent.http.live import events_route
from secateur.edge.agent.http.page_files import page_routes

ENDPOINTS: tuple[Endpoint, ...] = (
    *reading.ENDPOINTS,
    *changing.ENDPOINTS,
    *inference.ENDPOINTS,
    *metrics.ENDPOINTS,
)


@cache
def openapi() -> dict[str, Any]:
    """Return the OpenAPI page of all endpoints."""
    answers, shared = TypeAdapter.json_schemas(
        [
            (number, "serialization", TypeAdapter(endpoint.answer))
            for number, endpoint in enumerate(ENDPOINTS)
        ],
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, dict[str, Any]] = {}
    for number, endpoint in enumerate(ENDPOINTS):
        described = endpoint.described(answers[number, "serialization"])
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "secateur agent", "version": version("secateur")},
        "paths": paths,
        "components": {
            "schemas": shared.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def create_app(agent: Agent) -> Guard:
    """Return the ASGI application of an agent."""
    page = Endpoint(path="/openapi.json", handler=_page, summary="This page", answer=dict)
    routes = [endpoint.route(agent) for endpoint in (*ENDPOINTS, page)]
    app = Starlette(
        routes=[*routes, events_route(agent), *page_routes()],
        exception_handlers={HTTPException: _told, Refused: _refused, Exception: _failed},
    )
    return Guard(app, agent.config.http)


def _page(_: Call) -> dict[str, Any]:
    return openapi()


async def _told(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = {404: "there is no such address.", 405: "this address does not take that method."}
    told = reason.get(error.status_code, str(error.detail))
    return Json({"error": told}, status_code=error.status_code, headers=error.headers)


async def _refused(_: Request, error: Exception) -> Response:
    """Answer a request whose body turned out to be too large or too slow."""
    assert isinstance(error, Refused)
    return Json({"error": error.reason}, status_code=error.status, headers={"Connection": "close"})


async def _failed(_: Request, __: Exception) -> Response:
    return Json({"error": "the request failed; see the log of the agent."}, status_code=500)
