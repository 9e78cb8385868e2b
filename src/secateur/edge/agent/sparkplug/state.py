"""STATE messages of host applications: that of the agent, and that of the host an edge node waits for."""

from __future__ import annotations

import json
import threading
import time

from secateur.core.documents import parse_json
from secateur.core.errors import DataError


class OwnState:
    """What the agent says of itself as a host application, for edge nodes that wait for it.

    Parameters
    ----------
    name : str
        The host's identifier.
    """

    def __init__(self, name: str) -> None:
        self.topic = _topic(name)
        self._since_ms = int(1e3 * time.time())  # the will has that of the message that says "online"

    @property
    def online(self) -> bytes:
        """The message that it is there."""
        return _written(online=True, at_ms=self._since_ms)

    @property
    def will(self) -> bytes:
        """The message that the broker publishes when the connection breaks."""
        return _written(online=False, at_ms=self._since_ms)

    @property
    def offline(self) -> bytes:
        """The message that it goes now."""
        return _written(online=False, at_ms=int(1e3 * time.time()))

    @staticmethod
    def is_offline(content: bytes) -> bool:
        """Whether a message says that a host is not there."""
        try:
            return not _read(content)[0]
        except DataError:
            return False


class PrimaryHost:
    """Follows the STATE messages of one host application, as the Sparkplug specification 3.0 asks.

    A message that is older than one before it does not count: the broker may hand out the last words of a
    former session late.

    Parameters
    ----------
    name : str
        The host's identifier.
    """

    def __init__(self, name: str) -> None:
        self.name, self.topic = name, _topic(name)
        self._changed = threading.Condition()
        self._online = self._left = False
        self._said_ms = -1
        self._trouble = "it is not online"

    def take(self, content: bytes) -> None:
        """Take a STATE message.

        Raises
        ------
        DataError
            If it is none; what was known goes on.
        """
        online, said_ms = _read(content)
        with self._changed:
            if said_ms < self._said_ms:
                self._trouble = (
                    f"it states {said_ms} ms, which is before the {self._said_ms} ms that it stated last"
                )
                return
            self._left = self._left or (self._online and not online)
            self._online, self._said_ms, self._trouble = online, said_ms, "it is not online"
            self._changed.notify_all()

    def trouble(self, within_s: float = 0.0) -> str | None:
        """Return why nothing may be sent to it, after waiting so long; None if it is online.

        That it was away, however shortly, is told once: the node that it knew is no more.
        """
        with self._changed:
            if self._left:
                self._left = False
                return f"the primary host {self.name} went offline."
            if self._changed.wait_for(lambda: self._online, within_s):
                return None
            return f"the primary host {self.name} is waited for: {self._trouble}."


def _topic(name: str) -> str:
    return f"spBv1.0/STATE/{name}"


def _written(*, online: bool, at_ms: int) -> bytes:
    return json.dumps({"online": online, "timestamp": at_ms}).encode()


def _read(content: bytes) -> tuple[bool, int]:
    value = parse_json(content, "a STATE message")
    online, said_ms = (
        (value.get("online"), value.get("timestamp")) if isinstance(value, dict) else (None, None)
    )
    if not isinstance(online, bool) or not isinstance(said_ms, int) or isinstance(said_ms, bool):
        raise DataError(
            "a STATE message holds 'online' (true or false) and 'timestamp' (milliseconds) as JSON."
        )
    return online, said_ms
