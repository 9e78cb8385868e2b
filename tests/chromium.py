"""A headless browser on a pipe: pages are opened, looked at and used as a person would."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
REASON = "chromium is not installed; run: apt-get install chromium"
_WITHIN_S = 120.0
# the browser reads commands from descriptor 3 and writes answers to 4
_LAUNCH = """import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(commands, 3), os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])"""


class Chromium:
    """One tab, spoken to by the DevTools protocol over the pipe of ``--remote-debugging-pipe``."""

    def __init__(self, folder: Path) -> None:
        if BROWSER is None:
            pytest.skip(REASON)
        commands, self._out = os.pipe()
        self._in, answers = os.pipe()
        self.troubles: list[str] = []
        self._rest, self._number = b"", 0
        arguments = [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"),
            *("--disable-dev-shm-usage", f"--user-data-dir={folder}", "--no-first-run", "about:blank"),
        ]
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", _LAUNCH, str(commands), str(answers), *arguments],
            pass_fds=(commands, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        self._session: str | None = None
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(entry["targetId"] for entry in targets if entry["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Send a command and return its answer; exceptions and errors of the page are noted meanwhile."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": values}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            self._note(answer)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        last_s = time.monotonic() + _WITHIN_S
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, last_s - time.monotonic()))
            piece = os.read(self._in, 1 << 16) if ready else b""
            if not piece:
                raise TimeoutError("the browser does not answer")
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, answer: dict[str, Any]) -> None:
        values = answer.get("params", {})
        if answer.get("method") == "Runtime.exceptionThrown":
            self.troubles.append(json.dumps(values["exceptionDetails"])[:500])
        if answer.get("method") == "Log.entryAdded" and values["entry"]["level"] == "error":
            self.troubles.append(f"{values['entry']['text']} {values['entry'].get('url', '')}")

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"])[:500])
        return found["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """Wait until an expression holds, and return its value."""
        last_s = time.monotonic() + _WITHIN_S
        while time.monotonic() < last_s:
            if value := self.run(script):
                return value
            time.sleep(0.05)
        raise TimeoutError(f"never true: {script}; the page says: {self.run('document.body.innerText')}")

    def open(self, address: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=address)
        self.wait_for(f"location.href.startsWith({json.dumps(address.partition('#')[0])})")

    def press(self, key: str) -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes[key], **text)

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        """Take another size and colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, file: Path) -> None:
        """Save the whole page as a picture."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
