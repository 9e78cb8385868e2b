"""The dashboard: files that lie beside this one, served as they are; nothing is loaded from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PREFIX = "/page/"
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def page_routes() -> list[Route]:
    """Return ``/`` and ``/page/NAME``; the files are read once, and no other name is looked up."""
    found = {
        entry.name: Response(entry.read_bytes(), media_type=_TYPES[entry.name.rpartition(".")[2]])
        for entry in files(__package__).joinpath("page").iterdir()
        if entry.name.rpartition(".")[2] in _TYPES
    }

    async def page(_: Request) -> Response:
        return found["index.html"]

    async def file(request: Request) -> Response:
        return found.get(request.path_params["name"]) or Response(status_code=404)

    return [Route("/", page, methods=["GET"]), Route(PREFIX + "{name}", file, methods=["GET"])]
