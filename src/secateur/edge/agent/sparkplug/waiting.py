"""Data that cannot be understood before a birth: kept for a while, bounded in number, size and time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from secateur.edge.agent.sparkplug.codec import Payload

MOST_WAITING, MOST_WAITING_BYTES = 256, 64 << 20
METRIC_BYTES = 512
"""What a metric takes beside its value."""

LONGEST_WAIT_S = 60.0
"""A rebirth is asked for every few seconds; whoever has not answered for so long does not listen."""


@dataclass(frozen=True, kw_only=True)
class Unborn:
    """A message of a device whose birth is not known.

    Attributes
    ----------
    node, device : str
    payload : Payload
    ticket : object
        By which whoever handed it in knows it again.
    """

    node: str
    device: str
    payload: Payload
    ticket: object


class Waiting:
    """Messages that wait for the birth of their device, oldest first.

    Parameters
    ----------
    clock : callable
        Seconds that only go forward.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._entries: deque[tuple[float, int, Unborn]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, message: Unborn) -> None:
        """Keep a message."""
        size = sum(
            METRIC_BYTES + (len(metric.value) if isinstance(metric.value, bytes | str) else 0)
            for metric in message.payload.metrics
        )
        self._entries.append((self._clock(), size, message))
        self._bytes += size

    def too_many(self) -> list[Unborn]:
        """Take out what has waited too long, and the oldest where there are too many."""
        found = []
        oldest_s = self._clock() - LONGEST_WAIT_S
        while self._entries and (
            self._entries[0][0] < oldest_s
            or len(self._entries) > MOST_WAITING
            or self._bytes > MOST_WAITING_BYTES
        ):
            _, size, message = self._entries.popleft()
            self._bytes -= size
            found.append(message)
        return found

    def take(self, node: str, device: str | None = None) -> list[Unborn]:
        """Take out all messages of a device, or of all devices of a node."""
        found, kept, self._bytes = [], deque[tuple[float, int, Unborn]](), 0
        for entry in self._entries:
            message = entry[2]
            if message.node == node and device in (None, message.device):
                found.append(message)
            else:
                kept.append(entry)
                self._bytes += entry[1]
        self._entries = kept
        return found
