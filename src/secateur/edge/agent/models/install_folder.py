"""Bundles that people put into a watched folder: installed or refused, and put away."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from secateur.core.errors import SecateurError
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.settled_files import SettledFiles, put_away

log = logging.getLogger(__name__)

EVERY_S = 1.0
INSTALLED, REFUSED = "installed", "refused"
_NOW = {
    "active": "at work",
    "candidate": "runs in the shadow",
    "installed": "installed, but no sensor names it; sensors go by the name in the manifest",
}


class InstallFolder(threading.Thread):
    """Looks into the folder of an agent once a second.

    It has a thread of its own: the folder may lie on a share that hangs, and an installation takes seconds.

    Parameters
    ----------
    agent : Agent
    """

    def __init__(self, agent: Agent) -> None:
        super().__init__(name="install-folder", daemon=True)
        self._agent = agent
        self._stopping = threading.Event()
        self._bundles = SettledFiles()

    def run(self) -> None:
        """Look until :meth:`stop`."""
        while not self._stopping.wait(EVERY_S):
            folder = self._agent.config.models.install_folder
            if folder is None:
                continue
            try:
                self.look(folder)
            except Exception:
                log.exception("looking for bundles in %s failed", folder)

    def stop(self) -> None:
        """Stop after the bundle at hand."""
        self._stopping.set()
        if self.is_alive():
            self.join(5.0)

    def look(self, folder: Path) -> None:
        """Install all bundles that have not changed since the last look."""
        if not folder.is_dir():
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
