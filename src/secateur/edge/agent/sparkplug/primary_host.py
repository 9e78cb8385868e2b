"""Whether the host application that an edge node waits for is online, by its STATE messages."""

from __future__ import annotations

import threading

from secateur.core.documents import parse_json
from secateur.core.errors import DataError


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
        self.name, self.topic = name, f"spBv1.0/STATE/{name}"
        self._changed = threading.Condition()
        self._online = False
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
            self._online, self._said_ms, self._trouble = online, said_ms, "it is not online"
            self._changed.notify_all()

    def trouble(self, within_s: float = 0.0) -> str | None:
        """Return why nothing may be sent to it, after waiting so long; None if it is online."""
        with self._changed:
            if self._changed.wait_for(lambda: self._online, within_s):
                return None
            return f"the primary host {self.name} is waited for: {self._trouble}."


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
