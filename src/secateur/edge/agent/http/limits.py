"""Guards in front of every request: its size, its time, how many a client may send, and who may send it."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from secateur.edge.agent.config.settings import Http
from secateur.edge.agent.http.page_files import PREFIX

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready")
READING_POSTS = ("/infer",)
SMALL_BODY = 64 << 10
BURSTS = 10
AT_ONCE = 2
"""Bodies of the largest size that are held in memory at once."""

MOST_CLIENTS = 4096

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


class Refused(Exception):
    """A request that goes no further."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass
class _Body:
    """How large a body may be, and what came of it so far."""

    most: int
    seen: int = 0


@dataclass
class _Bucket:
    left: float
    at_s: float


class Guard:
    """Wraps the application: refuses what is too much, too slow, or not allowed, and sets headers.

    Parameters
    ----------
    app : callable
        An ASGI application.
    settings : Http
    """

    def __init__(self, app: App, settings: Http) -> None:
        self._app = app
        self.renew(settings)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._held = 0

    def renew(self, settings: Http) -> None:
        """Go over to other settings, and read the tokens again, which may be others under the same name.

        Raises
        ------
        ConfigError
            If a token cannot be read; the former settings hold on.
        """
        tokens = [
            None if token is None else token.read().encode()
            for token in (settings.token, settings.read_token)
        ]
        self._settings, (self._token, self._read_token) = settings, tokens
        self._behind_proxies = ProxyHeadersMiddleware(
            self._guarded,  # type: ignore[arg-type]  # its own names for the types of ASGI
            trusted_hosts=[*settings.trusted_proxies, *map(_mapped, settings.trusted_proxies)],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, which counts for the client that a trusted proxy names."""
        await self._behind_proxies(scope, receive, send)  # type: ignore[arg-type]

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        started, body = False, _Body(self._most_of(scope["path"]))

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, self._bounded(body, receive), send_with_headers)
        except Refused as refusal:
            if not started:
                await _answer(send_with_headers, refusal.status, refusal.reason)
        except Exception:
            if not started:
                await _answer(send_with_headers, 500, "the request failed; see the log of the agent.")
            raise
        finally:
            self._held -= body.seen

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        self._check_host(headers.get(b"host", b""))
        client = scope.get("client")
        self._take_turn(client[0] if client else "")
        path, method = scope["path"], scope["method"]
        if path in OPEN_PATHS or path.startswith(PREFIX):
            if method not in ("GET", "HEAD"):
                raise Refused(405, "this address does not take that method.")
            return
        given = _bearer(headers.get(b"authorization", b""))
        changes = method not in ("GET", "HEAD") and not path.endswith(READING_POSTS)
        if changes and self._token is None:
            raise Refused(403, "nothing can be changed over HTTP: the configuration has no http.token.")
        if changes and not _same(given, self._token):
            raise Refused(401, "give the token: 'Authorization: Bearer TOKEN'.")
        if self._read_token is not None and not (_same(given, self._read_token) or _same(given, self._token)):
            raise Refused(401, "give the token: 'Authorization: Bearer TOKEN'.")

    def _check_host(self, host: bytes) -> None:
        """Refuse names that a foreign page may have pointed at this address (DNS rebinding)."""
        if not self._settings.is_loopback:
            return
        name = host.decode("latin-1").rsplit(":", 1)[0] if not host.endswith(b"]") else host.decode("latin-1")
        name = name.strip("[]").lower()
        if name in ("", "localhost", self._settings.host.lower()):
            return
        try:
            if ipaddress.ip_address(name).is_loopback:
                return
        except ValueError:
            pass
        raise Refused(421, "this address answers to localhost alone.")

    def _take_turn(self, client: str) -> None:
        rate, now_s = self._settings.requests_per_s, time.monotonic()
        most = max(1.0, BURSTS * rate)
        bucket = self._buckets.pop(client, None) or _Bucket(left=most, at_s=now_s)
        bucket.left = min(most, bucket.left + rate * (now_s - bucket.at_s))
        bucket.at_s = now_s
        self._buckets[client] = bucket
        while len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            raise Refused(429, "too many requests; wait a moment.")
        bucket.left -= 1

    def _most_of(self, path: str) -> int:
        """Return how many bytes a body may have."""
        large = path.endswith(("/bursts", "/infer")) or path == "/api/models"
        return self._largest if large else SMALL_BODY

    @property
    def _largest(self) -> int:
        return int(self._settings.largest_upload_mib * (1 << 20))

    def _bounded(self, body: _Body, receive: Receive) -> Receive:
        """Return a ``receive`` that ends a body that is too large, too slow, or one of too many at once."""
        last_s = time.monotonic() + self._settings.request_timeout_s
        whole = False

        async def bounded() -> Message:
            nonlocal whole
            if whole:
                return await receive()  # waits for the client to go
            try:
                message = await asyncio.wait_for(receive(), max(0.0, last_s - time.monotonic()))
            except TimeoutError:
                raise Refused(408, "the request came too slowly.") from None
            if message["type"] == "http.request":
                size = len(message.get("body", b""))
                body.seen, self._held = body.seen + size, self._held + size
                whole = not message.get("more_body", False)
                if body.seen > body.most:
                    raise Refused(413, f"the request has more than {body.most} bytes.")
                if body.seen > SMALL_BODY and self._held > AT_ONCE * self._largest:
                    raise Refused(503, "too many large requests at once; send it again later.")
            return message

        return bounded


def _mapped(network: str) -> str:
    """Return how an IPv6 socket sees an address or network of IPv4."""
    found = ipaddress.ip_network(network)
    if found.version == 6:
        return network
    return f"::ffff:{found.network_address}/{96 + found.prefixlen}"


def _bearer(value: bytes) -> bytes:
    kind, _, token = value.partition(b" ")
    return token.strip() if kind.lower() == b"bearer" else b""


def _same(given: bytes, token: bytes | None) -> bool:
    return token is not None and hmac.compare_digest(given, token)


async def _answer(send: Send, status: int, reason: str) -> None:
    content = json.dumps({"error": reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 429:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
