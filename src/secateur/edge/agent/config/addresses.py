"""Hosts and addresses of the configuration: whole, and without anything that belongs elsewhere."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

_HOST = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
_NUMBERS = re.compile(r"[0-9.]+")


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
        return True
    except ValueError:
        return len(text) <= 253 and bool(_HOST.fullmatch(text)) and not _NUMBERS.fullmatch(text)


def _host(text: str) -> str:
    if not _is_host(text):
        raise ValueError(
            f"'{text[:80]}' is no host; give its name or number alone, such as 192.168.0.5, "
            "and the port as 'port'"
        )
    return text


Host = Annotated[str, AfterValidator(_host)]
"""Name or number of a machine in the network, without scheme and port."""


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(
            f"'{text[:80]}' is neither an address nor a network; give numbers, such as 127.0.0.1 or "
            "10.0.0.0/8"
        ) from None
    return text


Network = Annotated[str, AfterValidator(_network)]
"""Number of one machine, or of all machines of a network."""


def require_url(text: str, schemes: tuple[str, ...]) -> str:
    """Return an address that has a scheme, a host and no secret.

    Raises
    ------
    ValueError
        If it has not.
    """
    wanted = " or ".join(f"{scheme}://HOST" for scheme in schemes)
    try:
        found = urlsplit(text)
        host, _ = found.hostname or "", found.port  # a port that is none raises
    except ValueError as error:
        raise ValueError(f"'{text[:80]}' is no address ({error}); give {wanted}") from None
    if not text.isprintable() or " " in text or found.scheme not in schemes or not _is_host(host):
        raise ValueError(f"'{text[:80]}' is no address; give {wanted}")
    if found.username is not None or found.password is not None:
        raise ValueError("an address holds no user and no password, since secrets never stand in this file")
    if found.fragment:
        raise ValueError(f"'{text[:80]}' ends in '#', which is not sent; leave that out")
    return text


HttpUrl = Annotated[str, AfterValidator(lambda text: require_url(text, ("http", "https")))]
OpcUaUrl = Annotated[str, AfterValidator(lambda text: require_url(text, ("opc.tcp",)))]


def plain_host(host: str) -> str:
    """Return one spelling of a host for all that are surely the same machine; names are not looked up."""
    name = host.rstrip(".").lower()
    try:
        number = ipaddress.ip_address("127.0.0.1" if name == "localhost" else name)
    except ValueError:
        return name
    return "localhost" if number.is_loopback else str(number)
