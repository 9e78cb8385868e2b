"""The bundles of an agent that is running, looked after over HTTP."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from secateur.bundle.archive import pack
from secateur.core.errors import ConfigError, TransportError

_PATIENCE_S = 120.0
"""A bundle is loaded and tried before the agent answers."""


class RunningAgent:
    """Speaks to an agent; see :class:`StoppedAgent` for one that is not running.

    Parameters
    ----------
    address : str
        Such as ``http://127.0.0.1:8765``.
    token : str, optional
        Asked for by everything that changes something.

    Raises
    ------
    ConfigError
        If the address is none, or the agent refuses. Methods raise :class:`TransportError` if it does not
        answer.
    """

    def __init__(self, address: str, *, token: str | None = None) -> None:
        if not re.fullmatch(r"https?://[^/?#@\s]+/?", address):
            raise ConfigError(
                f"'{address}' is no address of an agent; it looks like http://127.0.0.1:8765, without a path."
            )
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ConfigError("the token holds characters that no token has; is it the right file?")
        self._address = address.rstrip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def list(self) -> dict[str, Any]:
        """Return all bundles."""
        found = self._ask("GET", "/api/models")
        if not {"models", "unused"} <= found.keys():
            raise TransportError(f"{self._address} does not answer as an agent does; is the address right?")
        return found

    def install(self, bundle: Path, *, name: str | None) -> dict[str, Any]:
        """Send a bundle; the agent installs it if it is sound and signed by a key that it trusts."""
        query = {} if name is None else {"name": name}
        with tempfile.TemporaryDirectory(prefix="secateur-") as folder:
            archive = bundle
            if bundle.is_dir():
                archive = Path(folder) / "bundle.sct"
                pack(bundle, archive)
            return self._ask(
                "POST",
                "/api/models",
                params=query,
                content=archive.read_bytes(),
                headers={"Content-Type": "application/octet-stream"},
            )

    def activate(self, name: str, version: str) -> dict[str, Any]:
        """Put an installed version to work."""
        return self._ask("POST", _model(name, "activate"), json={"version": version})

    def shadow(self, name: str, version: str | None) -> dict[str, Any]:
        """Let an installed version run beside the active one, or none."""
        return self._ask("POST", _model(name, "shadow"), json={"version": version})

    def roll_back(self, name: str) -> dict[str, Any]:
        """Put the former version to work again."""
        return self._ask("POST", _model(name, "roll_back"), json={})

    def self_test(self, name: str, version: str | None) -> dict[str, Any]:
        """Check installed versions as at their installation."""
        return self._ask("POST", _model(name, "self_test"), json={"version": version})

    def _ask(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        try:
            # redirects are not followed and proxies not asked: the token is for this address alone
            with httpx.Client(headers=self._headers, timeout=_PATIENCE_S, trust_env=False) as client:
                answer = client.request(method, self._address + path, **sent)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise TransportError(
                f"{self._address} does not answer: {str(error) or type(error).__name__}. Does the agent run, "
                "and is this its http.host and http.port?"
            ) from None
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise TransportError(
                f"{self._address} answers {answer.status_code}, not as an agent does; is the address right?"
            )
        if answer.is_success:
            return found
        told = f"the agent at {self._address} refuses: {found.get('error', answer.status_code)}"
        if answer.status_code == 401:
            told += " Name the file that holds it by --token-file, or set SECATEUR_TOKEN."
        later = answer.status_code >= 500 or answer.status_code == 429
        raise TransportError(told) if later else ConfigError(told)


def _model(name: str, what: str) -> str:
    return f"/api/models/{quote(name, safe='')}/{what}"
