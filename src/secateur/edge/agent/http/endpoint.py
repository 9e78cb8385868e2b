"""One endpoint as data: its route, its handler and its line in the OpenAPI page come from the same entry."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from secateur.core.documents import parse_json
from secateur.core.errors import DataError, SecateurError
from secateur.edge.agent.intake import IntakeFull
from secateur.edge.agent.models.bundles import UnknownBundle
from secateur.edge.agent.outbox.database import StorageError

log = logging.getLogger(__name__)

Handler = Callable[["Call"], Any]
"""Takes a call; returns JSON values, or a response of its own."""


class NotFound(SecateurError):
    """There is no such thing."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter of the query.

    Attributes
    ----------
    name : str
    kind : {"integer", "number", "string", "boolean"}
    lowest, highest : float, optional
        Bounds of a number.
    choices : tuple of str
        Allowed texts.
    default : object
        None: may be left out.
    """

    name: str
    kind: str
    default: Any = None
    lowest: float | None = None
    highest: float | None = None
    choices: tuple[str, ...] = ()

    def schema(self) -> dict[str, Any]:
        """Return it as OpenAPI describes it."""
        bounds = {"minimum": self.lowest, "maximum": self.highest, "enum": list(self.choices) or None}
        return {"type": self.kind} | {name: value for name, value in bounds.items() if value is not None}

    def read(self, text: str | None) -> Any:
        """Return the value of a text.

        Raises
        ------
        DataError
            If it is not allowed.
        """
        if text is None:
            return self.default
        if self.kind == "string":
            if self.choices and text not in self.choices:
                raise DataError(f"{self.name} '{text[:60]}'; allowed: {', '.join(self.choices)}.")
            return text
        if self.kind == "boolean":
            if text not in ("true", "false"):
                raise DataError(f"{self.name} '{text[:60]}'; allowed: true, false.")
            return text == "true"
        try:
            value = int(text) if self.kind == "integer" else float(text)
        except ValueError:
            raise DataError(f"{self.name} '{text[:60]}' is no {self.kind}.") from None
        low, high = self.lowest, self.highest
        if not (low is None or value >= low) or not (high is None or value <= high) or value != value:
            raise DataError(f"{self.name} {value} must lie from {low} to {high}.")
        return value


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request as a handler sees it.

    Attributes
    ----------
    agent : Agent
    path : dict of str to str
        Parts of the address.
    query : dict
        Parameters, checked.
    body : bytes
    content_type : str
    """

    agent: Any
    path: dict[str, str]
    query: dict[str, Any]
    body: bytes
    content_type: str

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises
        ------
        DataError
            If it is none.
        """
        value = parse_json(self.body, "the request")
        if not isinstance(value, dict):
            raise DataError("the request must be a JSON object.")
        return value


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """An address, what it does, and how.

    Attributes
    ----------
    path : str
        With ``{names}`` in braces.
    handler : callable
        Runs in a thread of its own, so that it may wait for the disk.
    summary : str
        For the OpenAPI page.
    method : {"GET", "POST"}
    query : tuple of Parameter
    body : dict
        Content type and schema of what is sent.
    answer : type
        Of what is answered with status 200.
    answer_type : str
        Its content type.
    """

    path: str
    handler: Handler
    summary: str
    answer: Any
    method: str = "GET"
    query: tuple[Parameter, ...] = ()
    body: dict[str, dict[str, Any]] | None = None
    answer_type: str = "application/json"

    def route(self, agent: Any) -> Route:
        """Return the route of the application."""
        return Route(self.path, self._serve(agent), methods=[self.method])

    def _serve(self, agent: Any) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            try:
                query = {entry.name: entry.read(request.query_params.get(entry.name)) for entry in self.query}
                call = Call(
                    agent=agent,
                    path=dict(request.path_params),
                    query=query,
                    body=await request.body(),
                    content_type=request.headers.get("content-type", "").partition(";")[0].strip(),
                )
                found = await run_in_threadpool(self.handler, call)
            except ClientDisconnect:
                return Response(status_code=400)
            except asyncio.CancelledError:
                raise
            except SecateurError as error:
                return refusal(error)
            except OSError as error:
                log.error("%s %s: %s", self.method, self.path, error)
                told = f"the disk does not take it: {error.strerror or 'it failed'}."
                return Json({"error": told}, status_code=503)
            return found if isinstance(found, Response) else Json(found)

        return serve

    def described(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Return the operation of the OpenAPI page, given the schema of its answer."""
        names = re.findall(r"{(\w+)(?::path)?}", self.path)
        parameters = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
        parameters += [
            {"name": entry.name, "in": "query", "required": False, "schema": entry.schema()}
            for entry in self.query
        ]
        content = {self.answer_type: {"schema": answer}}
        answers: dict[str, Any] = {"200": {"description": "OK", "content": content}}
        for status, reason in STATUSES.items():
            answers[status] = {"description": reason, "content": {"application/json": {"schema": ERROR}}}
        operation: dict[str, Any] = {
            "summary": self.summary,
            "parameters": parameters,
            "responses": answers,
        }
        if self.body is not None:
            operation["requestBody"] = {
                "required": True,
                "content": {kind: {"schema": schema} for kind, schema in self.body.items()},
            }
        if self.method != "GET" and not self.path.endswith("/infer"):
            operation["security"] = [{"token": []}]
        return operation


STATUSES = {
    "400": "The request cannot be used; the answer says why.",
    "401": "The token is missing or wrong.",
    "403": "Nothing can be changed over HTTP.",
    "404": "There is no such thing.",
    "408": "The request came too slowly.",
    "409": "It cannot be done at present.",
    "413": "The request is too large.",
    "415": "The content type is not understood.",
    "421": "Another host name is meant.",
    "429": "Too many requests.",
    "503": "The agent cannot take it at present; send it again later.",
}
ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


class Json(JSONResponse):
    """JSON without NaN."""

    def render(self, content: Any) -> bytes:
        """Return the bytes."""
        return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def refusal(error: SecateurError) -> Json:
    """Return the answer to a request that is refused."""
    status = 400
    if isinstance(error, NotFound | UnknownBundle):
        status = 404
    elif isinstance(error, IntakeFull | StorageError):
        status = 503
    return Json({"error": str(error)}, status_code=status)
