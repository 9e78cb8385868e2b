"""Results in files, one a day: CSV always, Parquet where pyarrow is installed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from secateur.core.errors import ConfigError
from secateur.edge.agent.config.connections import LogSink as LogSettings
from secateur.edge.agent.outbox.store import Record
from secateur.edge.agent.sinks.base import Sink, SinkUnavailable
from secateur.edge.agent.state.spreadsheet import csv_line

COLUMNS = (
    "measured_unix_s",
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

    suffix = ".csv"

    def __init__(self, settings: LogSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._lock = threading.Lock()

    def publish(self, records: Sequence[Record]) -> None:
        """See :class:`~secateur.edge.agent.sinks.base.Sink`."""
        try:
            with self._lock:
                self._settings.folder.mkdir(parents=True, exist_ok=True)
                self._write(self._day(), [row_of(record) for record in records])
                self._remove_old()
        except OSError as error:
            raise SinkUnavailable(f"the log in {self._settings.folder} cannot be written: {error}.") from None

    def _day(self) -> Path:
        return self._settings.folder / f"{datetime.now(UTC):%Y-%m-%d}{self.suffix}"

    def _write(self, path: Path, rows: list[dict[str, Any]]) -> None:
        """Append lines; one that was cut short by a power cut is ended first."""
        lines = [csv_line(row.values()) for row in rows]
        with path.open("a+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0:
                lines.insert(0, csv_line(COLUMNS))
            else:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    lines.insert(0, "\r\n")
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())

    def _remove_old(self) -> None:
        oldest = f"{datetime.now(UTC) - timedelta(days=self._settings.days):%Y-%m-%d}"
        for path in self._settings.folder.glob(f"????-??-??*{self.suffix}"):
            if path.name[:10] < oldest:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """See :class:`~secateur.edge.agent.sinks.base.Sink`; nothing is open."""


class ParquetLog(CsvLog):
    """Writes each batch as ``FOLDER/YYYY-MM-DD-SEQUENCE.parquet``.

    Raises
    ------
    ConfigError
        If pyarrow is not installed.
    """

    suffix = ".parquet"

    def __init__(self, settings: LogSettings) -> None:
        super().__init__(settings)
        try:
            from importlib import import_module

            self._pyarrow, self._parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        except ImportError:
            raise ConfigError("a parquet log needs pyarrow; run: pip install pyarrow, or use csv.") from None

    def _write(self, path: Path, rows: list[dict[str, Any]]) -> None:
        target = path.with_name(f"{path.stem}-{rows[0]['sequence']:012d}{self.suffix}")
        aside = target.with_name(f".{target.name}")
        table = self._pyarrow.Table.from_pylist(rows)
        with aside.open("wb") as file:
            self._parquet.write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(target)
