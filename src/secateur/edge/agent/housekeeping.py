"""What must be done now and then: look after the agent itself, tell systemd, take bundles from a folder."""

from __future__ import annotations

import logging
import threading

from secateur.core.errors import SecateurError
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.settled_files import SettledFiles, put_away
from secateur.edge.agent.systemd import notify, watchdog_interval_s

log = logging.getLogger(__name__)

EVERY_S = 1.0
INSTALLED, REFUSED = "installed", "refused"
_NOW = {
    "active": "at work",
    "candidate": "runs in the shadow",
    "installed": "installed, but no sensor names it; sensors go by the name in the manifest",
}


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
        self._bundles = SettledFiles()

    def run(self) -> None:
        """Look after the agent until :meth:`stop`."""
        while not self._stopping.wait(self._every_s):
            if self._watched and self._agent.is_alive:
                notify("WATCHDOG=1")
            try:
                self._agent.watch_itself()
                self._install_from_folder()
            except SecateurError as error:
                log.warning("%s", error)
            except Exception:
                log.exception("looking after the agent failed")

    def stop(self) -> None:
        """Stop."""
        self._stopping.set()
        if self.is_alive():
            self.join(5.0)

    def _install_from_folder(self) -> None:
        folder = self._agent.config.models.install_folder
        if folder is None or not folder.is_dir():
            return
        for path in self._bundles.among(folder.glob("*.sct")):
            try:
                found = self._agent.bundles.install(path)
            except SecateurError as error:
                log.error("bundle %s refused: %s", path.name, error)
                put_away(path, REFUSED)
                continue
            log.info(
                "bundle %s is %s %s: %s", path.name, found["name"], found["version"], _NOW[found["state"]]
            )
            put_away(path, INSTALLED)
