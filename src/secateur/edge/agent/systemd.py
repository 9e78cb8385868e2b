"""Word to systemd: ready, reloading, stopping, still alive (sd_notify); nothing where systemd is not."""

from __future__ import annotations

import os
import socket
import time


def notify(state: str) -> bool:
    """Send a state such as ``READY=1``; return whether somebody listens.

    The protocol: one datagram to the socket that NOTIFY_SOCKET names, ``@`` for the abstract name space.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.connect(address)
            channel.sendall(state.encode())
    except OSError:
        return False
    return True


def reloading() -> bool:
    """Say that the configuration is read again; :func:`notify` with ``READY=1`` ends it."""
    return notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def watchdog_interval_s() -> float | None:
    """Return how often systemd wants to hear of the agent: half of what it allows; None if never."""
    try:
        allowed = int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        return None
    process = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return allowed / 2 if allowed > 0 and process == str(os.getpid()) else None
