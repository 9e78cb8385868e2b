"""A real MQTT broker on loopback for one test."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

BROKER = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
_WITHIN_S = 60.0
REASON = "mosquitto is not installed; run: apt-get install mosquitto"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Mosquitto:
    """One broker, which can be stopped or killed and started again on the same port."""

    def __init__(self, folder: Path, settings: Sequence[str] = ()) -> None:
        if BROKER is None:
            pytest.skip(REASON)
        self.port = free_port()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # "user root": else it gives up the rights to read the certificates of the test
        lines = [
            "user root",
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "max_queued_messages 0",
            "persistence true",
            f"persistence_location {folder}/",
            *settings,
        ]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen(
            [BROKER, "-c", str(self._folder / "mosquitto.conf")], stdout=log, stderr=log
        )
        log.close()
        last_s = time.monotonic() + _WITHIN_S
        while self._process.poll() is None and time.monotonic() < last_s:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=_WITHIN_S).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError((self._folder / "log").read_text())

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """End in order: the broker writes down who has subscribed to what."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None
