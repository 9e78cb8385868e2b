"""The address that the HTTP interface listens on."""

from __future__ import annotations

import socket

from secateur.core.errors import ConfigError
from secateur.edge.agent.config.settings import Http


def bound_socket(settings: Http) -> socket.socket:
    """Return a socket that has the address of a configuration and does not listen yet.

    Raises
    ------
    ConfigError
        If the address is taken, not allowed, or not one of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((settings.host, settings.port))
    except OSError as error:
        found.close()
        raise ConfigError(
            f"http.host {settings.host} port {settings.port} cannot be used: {error.strerror}; "
            "stop what listens there, or give another http.port."
        ) from None
    return found
