"""How fast new results come: the mean of the last five minutes, counted in whole seconds."""

from __future__ import annotations

import math
from collections import deque

WINDOW_S = 300
_LEAST_SPAN_S = 1.0


class Inflow:
    """Bytes that came in the last five minutes, or since the count began where that is less.

    Parameters
    ----------
    since_s : float
        When the count begins, on a clock that only goes forward.
    """

    def __init__(self, since_s: float) -> None:
        self._since_s = since_s
        self._seconds: deque[list[int]] = deque()

    def add(self, now_s: float, size: int) -> None:
        """Count something that came now."""
        second = math.floor(now_s)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0])
        self._seconds[-1][1] += size
        self._forget(second)

    def rate(self, now_s: float) -> tuple[float, float]:
        """Return the bytes a second, and over how many seconds they are the mean."""
        first = self._forget(math.floor(now_s))
        span_s = max(now_s - max(self._since_s, first), _LEAST_SPAN_S)
        return sum(size for _, size in self._seconds) / span_s, span_s

    def _forget(self, second: int) -> int:
        """Let go what is older than the window; return the first second that counts."""
        first = second - WINDOW_S + 1
        while self._seconds and self._seconds[0][0] < first:
            self._seconds.popleft()
        return first
