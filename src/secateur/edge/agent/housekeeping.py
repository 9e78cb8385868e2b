"""What must be done now and then: look after the agent itself, and tell systemd that it lives."""

from __future__ import annotations

import logging
import threading

from secateur.core.errors import SecateurError
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.systemd import notify, watchdog_interval_s

log = logging.getLogger(__name__)

EVERY_S = 1.0


class Housekeeping(threading.Thread):
    """One thread that looks after an agent once a second.

    Parameters
    ----------
    agent : Agent
    """

    def __init__(self, agent: Agent) -> None:
        super().__init__(name="housekeeping", daemon=True)
        self._agent = agent
        self._stopping = threading.Event()
        interval_s = watchdog_interval_s()
        self._every_s = min(EVERY_S, interval_s) if interval_s is not None else EVERY_S
        self._watched = interval_s is not None

    def run(self) -> None:
        """Look after the agent until :meth:`stop`."""
        while not self._stopping.wait(self._every_s):
            if self._watched and self._agent.is_alive:
                notify("WATCHDOG=1")
            try:
                self._agent.watch_itself()
            except SecateurError as error:
                log.warning("%s", error)
            except Exception:
                log.exception("looking after the agent failed")

    def stop(self) -> None:
        """Stop."""
        self._stopping.set()
        if self.is_alive():
            self.join(5.0)
