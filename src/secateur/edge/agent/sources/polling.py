"""A thread that asks a device for values every so often, and goes on when the device does not answer."""

from __future__ import annotations

import logging

from secateur.edge.agent.sources.base import SourceStatus, ThreadedSource

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60.0


class PollingSource(ThreadedSource):
    """Asks, waits, asks again; after failures it waits longer each time.

    Parameters
    ----------
    name : str
    every_s : float
    """

    def __init__(self, name: str, *, every_s: float) -> None:
        super().__init__(name, thread=f"source-{name}")
        self.trouble = ""
        self._every_s = every_s

    def ask(self) -> None:
        """Ask once; raise any error if that fails."""
        raise NotImplementedError

    def close(self) -> None:
        """Give up the connection."""
        raise NotImplementedError

    def status(self) -> SourceStatus:
        """Return its state, for people."""
        return {
            "name": self.name,
            "connected": not self.trouble and self.counts["asked"] > 0,
            "trouble": self.trouble,
            "counts": dict(self.counts),
        }

    def _run(self) -> None:
        pause_s = self._every_s
        while not self._stopping.is_set():
            try:
                self.ask()
                self.counts["asked"] += 1
                self.trouble, pause_s = "", self._every_s
            except Exception as error:  # libraries of field buses raise classes of their own
                self.counts["failed"] += 1
                if str(error) != self.trouble:
                    log.warning("%s: %s", self.name, error)
                self.trouble = str(error) or type(error).__name__
                self._close_quietly()
                pause_s = min(2 * pause_s, max(LONGEST_PAUSE_S, self._every_s))
            self._stopping.wait(pause_s)
        self._close_quietly()

    def _close_quietly(self) -> None:
        try:
            self.close()
        except Exception as error:
            log.debug("%s: closing failed: %s", self.name, error)
