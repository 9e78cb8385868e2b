"""Results as CSV, one file a day."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from secateur.edge.agent.config.connections import LogSink as LogSettings
from secateur.edge.agent.outbox.store import Record
from secateur.edge.agent.sinks.base import Sink, SinkUnavailable
from secateur.edge.agent.state.spreadsheet import csv_line

COLUMNS = (
    "measured_unix_s",
    "stated_unix_s",
    "sequence",
    "key",
    "kind",
    "machine",
    "sensor",
    "level",
    "score",
    "sensor_state",
    "flags",
    "speed_rpm",
    "label",
    "confidence",
    "reason",
    "model",
    "version",
    "historical",
    "redelivered",
    "indicators",
)


def row_of(record: Record) -> dict[str, Any]:
    """Return one line of the log; indicators are JSON."""
    value = json.loads(record.payload)
    bearing, quality = value.get("bearing") or {}, value.get("quality") or {}
    diagnosis, speed = value.get("diagnosis") or {}, value.get("speed") or {}
    return {
        "measured_unix_s": value.get("measured_unix_s"),
        "stated_unix_s": value.get("stated_unix_s"),
        "sequence": record.seq,
        "key": record.key,
        "kind": record.kind,
        "machine": record.machine,
        "sensor": record.sensor,
        "level": bearing.get("level") or value.get("level"),
        "score": bearing.get("score"),
        "sensor_state": value.get("sensor_state"),
        "flags": "; ".join(quality.get("flags", ())),
        "speed_rpm": speed.get("rpm"),
        "label": diagnosis.get("label"),
        "confidence": diagnosis.get("confidence"),
        "reason": diagnosis.get("reason"),
        "model": diagnosis.get("model"),
        "version": diagnosis.get("version"),
        "historical": record.historical,
        "redelivered": record.redelivered,
        "indicators": json.dumps(value.get("indicators") or {}),
    }


class CsvLog(Sink):
    """Appends to ``FOLDER/YYYY-MM-DD.csv``; acknowledged when it is on the disk. Old days are removed.

    Parameters
    ----------
    settings : LogSettings
    """

    period, suffix = "%Y-%m-%d", ".csv"
    own_name = re.compile(r"(\d{4}-\d\d-\d\d)\.csv", re.ASCII)
    """Names that the agent gives; all other files in the folder are somebody else's and are left alone."""

    def __init__(self, settings: LogSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._lock = threading.Lock()
        self._current: Path | None = None

    def publish(self, records: Sequence[Record]) -> None:
        """See :class:`~secateur.edge.agent.sinks.base.Sink`."""
        with self._writing():
            self._append(self._turn(), [row_of(record) for record in records])

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except OSError as error:
            self._current = None  # somebody may have taken the folder away
            raise SinkUnavailable(f"the log in {self._settings.folder} cannot be written: {error}.") from None

    def _append(self, path: Path, rows: list[dict[str, Any]]) -> None:
        append_lines(path, [csv_line(row.values()) for row in rows], head=csv_line(COLUMNS))

    def _turn(self) -> Path:
        """Return the file of this moment; what is to be done with earlier ones is done when it is another."""
        path = self._settings.folder / f"{datetime.now(UTC):{self.period}}{self.suffix}"
        if path != self._current:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._end_earlier(path)
            self._remove_old()
            self._current = path
        return path

    def _end_earlier(self, current: Path) -> None:
        """Do what is to be done with earlier files."""

    def _remove_old(self) -> None:
        """Keep the latest days that there are files of: a clock that jumps ahead must not take all others."""
        days: dict[str, list[Path]] = {f"{datetime.now(UTC):%Y-%m-%d}": []}
        for path in self._settings.folder.iterdir():
            if (own := self.own_name.fullmatch(path.name)) and path.is_file() and not path.is_symlink():
                days.setdefault(own[1], []).append(path)
        for day in sorted(days)[: -self._settings.days]:
            for path in days[day]:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """See :class:`~secateur.edge.agent.sinks.base.Sink`; nothing is open."""


def append_lines(path: Path, lines: list[str], *, head: str = "") -> None:
    """Append to a file, synced; a line that was cut short by a power cut is ended first."""
    with path.open("a+b") as file:
        size, before = file.seek(0, os.SEEK_END), head
        if size:
            file.seek(size - 1)
            before = "" if file.read(1) == b"\n" else "\r\n"
        file.write("".join([before, *lines]).encode())
        file.flush()
        os.fsync(file.fileno())
