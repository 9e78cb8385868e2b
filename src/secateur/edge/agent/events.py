"""Live events for those who watch: each follower has a short queue, and a slow one loses the oldest."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MOST_FOLLOWERS = 64
MOST_KEPT = 256


class Follower:
    """One who watches."""

    def __init__(self) -> None:
        self._events: deque[dict[str, Any]] = deque(maxlen=MOST_KEPT)

    def put(self, event: dict[str, Any]) -> None:
        """Add an event; the oldest goes if there are too many."""
        self._events.append(event)

    def take(self) -> list[dict[str, Any]]:
        """Return what came since the last call."""
        found = []
        while self._events:
            found.append(self._events.popleft())
        return found


class Events:
    """Hands events to all followers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._followers: list[Follower] = []

    @property
    def is_full(self) -> bool:
        """Whether no more may follow."""
        return len(self._followers) >= MOST_FOLLOWERS

    def publish(self, kind: str, **values: Any) -> None:
        """Tell all followers."""
        with self._lock:
            for follower in self._followers:
                follower.put({"kind": kind, **values})

    @contextmanager
    def follow(self) -> Iterator[Follower]:
        """Follow while the block runs."""
        follower = Follower()
        with self._lock:
            self._followers.append(follower)
        try:
            yield follower
        finally:
            with self._lock:
                self._followers.remove(follower)
