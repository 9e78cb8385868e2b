"""What nobody foresaw, written to a file: where it happened, the command, the versions."""

from __future__ import annotations

import os
import tempfile
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from secateur.core.provenance import command_line, provenance

FOLDER = Path("secateur") / "reports"
MOST_REPORTS = 20
MOST_CHARACTERS = 200_000


def save_report(error: BaseException) -> Path | None:
    """Write a report of an error and return its file; None where nothing can be written.

    It lies in the user's folder of state (``$XDG_STATE_HOME``, else ``~/.local/state``), or in that of
    temporary files. Nothing is sent anywhere.
    """
    try:
        content = _content(error)
    except Exception:
        return None
    for folder in (_state_folder(), Path(tempfile.gettempdir()) / f"secateur-reports-{os.getuid()}"):
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _forget_the_oldest(folder)
            moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
            path = folder / f"{moment}-{os.getpid()}.txt"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(content)
            return path
    return None


def _state_folder() -> Path:
    named = os.environ.get("XDG_STATE_HOME")
    try:
        return (Path(named) if named else Path.home() / ".local" / "state") / FOLDER
    except RuntimeError:  # a user without a home
        return Path(os.devnull) / FOLDER


def _content(error: BaseException) -> str:
    told = "".join(traceback.format_exception(error))
    if len(told) > MOST_CHARACTERS:
        half = MOST_CHARACTERS // 2
        told = f"{told[:half]}\n...\n{told[-half:]}"
    origin = provenance()
    lines = (
        f"command: {command_line()}",
        f"time: {origin['time_utc']}",
        f"machine: {origin['machine']}",
        f"versions: {origin['versions']}",
        "",
        told,
    )
    return "\n".join(lines)


def _forget_the_oldest(folder: Path) -> None:
    for path in sorted(folder.glob("*.txt"))[: -MOST_REPORTS + 1]:
        path.unlink(missing_ok=True)
