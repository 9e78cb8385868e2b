"""The agent as a program: started from a file, stopped and reloaded by signals."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from secateur.core.errors import SecateurError
from secateur.core.locks import sole_owner
from secateur.edge.agent.agent import Agent
from secateur.edge.agent.config.settings import AgentConfig
from secateur.edge.agent.housekeeping import Housekeeping
from secateur.edge.agent.http.server import Server
from secateur.edge.agent.logs import set_log_level
from secateur.edge.agent.models.install_folder import InstallFolder
from secateur.edge.agent.patience import all_at_once
from secateur.edge.agent.systemd import notify, reloading
from secateur.edge.agent.trial import usable_config

log = logging.getLogger(__name__)


def run(
    config_file: Path, *, told: Callable[[str], None] | None = None, for_s: float | None = None
) -> AgentConfig:
    """Run the agent until SIGTERM or SIGINT; SIGHUP reads the configuration again.

    Parameters
    ----------
    config_file : Path
    told : callable, optional
        Told the address of the HTTP interface.
    for_s : float, optional
        Stop by itself after so many seconds.

    Raises
    ------
    SecateurError
        If the configuration cannot be used, the address is taken, or another agent uses the state folder.
    """
    ended, again = threading.Event(), threading.Event()
    _listen_to_signals(ended, again)  # before a start that takes a while
    config = usable_config(config_file)
    with sole_owner(config.state_folder):
        _serve(config, partial(_wait, ended, again, for_s), config_file, told)
    return config


def _serve(
    config: AgentConfig,
    wait: Callable[[Callable[[], None]], None],
    config_file: Path,
    told: Callable[[str], None] | None,
) -> None:
    agent = Agent(config)
    agent.bundles.store.remove_leftovers()
    try:
        server = Server(agent)
    except SecateurError:
        agent.database.close()
        raise
    keepers = (Housekeeping(agent), InstallFolder(agent))
    agent.start()
    server.start()
    for keeper in keepers:
        keeper.start()
    host = f"[{config.http.host}]" if ":" in config.http.host else config.http.host
    address = f"http://{host}:{server.port}"
    log.info("listening on %s", address)
    if told is not None:
        told(address)
    notify("READY=1")
    try:
        wait(lambda: _reload(agent, server, config_file))
    finally:
        notify("STOPPING=1")
        all_at_once(keeper.stop for keeper in keepers)
        agent.stop()
        server.stop()


def _wait(
    ended: threading.Event, again: threading.Event, for_s: float | None, reload: Callable[[], None]
) -> None:
    left_s = for_s
    while left_s is None or left_s > 0:
        if ended.wait(0.2):
            return
        if again.is_set():
            again.clear()
            reload()
        left_s = None if left_s is None else left_s - 0.2


def _listen_to_signals(ended: threading.Event, again: threading.Event) -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: again.set())


def _reload(agent: Agent, server: Server, config_file: Path) -> None:
    reloading()
    try:
        config = usable_config(config_file, running=True)
        later = agent.reload(config)
        server.renew(agent.config.http)
        agent.config_trouble = ""
        set_log_level(config.log_level)
        if later:
            log.warning("%s changed; that takes effect after a restart", " and ".join(later))
    except SecateurError as error:
        log.error("the former configuration goes on: %s", error)
        agent.config_trouble = str(error)
    notify("READY=1")
