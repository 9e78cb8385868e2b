"""Trends of indicators: every burst for a while, then means of minutes, then of hours, in a bounded file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

TIERS: tuple[tuple[str, float, int], ...] = (
    ("bursts", 0.0, 5_000),
    ("minutes", 60.0, 10_080),
    ("hours", 3600.0, 43_800),
)
"""Name, length of a bin in seconds, most entries of a sensor: five thousand bursts, a week, five years."""

_COMMIT_EVERY = 32
_TIDY_EVERY = 256
_SCHEMA = """CREATE TABLE IF NOT EXISTS trend(
    tier INTEGER, place TEXT, start_unix_s REAL, count INTEGER, worst INTEGER, sums TEXT,
    PRIMARY KEY (tier, place, start_unix_s)) WITHOUT ROWID"""


class Trends:
    """Means of indicators over time; nothing waits for the disk, since losing the last few does no harm.

    Parameters
    ----------
    path : Path
        An SQLite file; one that is damaged is replaced.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._uncommitted = self._untidied = 0
        try:
            self._connection = _connect(path)
        except sqlite3.DatabaseError:
            for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                name.unlink(missing_ok=True)
            self._connection = _connect(path)

    def add(self, machine: str, sensor: str, unix_s: float, level: int, indicators: dict[str, float]) -> None:
        """Add the indicators of one burst."""
        place = f"{machine}/{sensor}"
        with self._lock, contextlib.suppress(sqlite3.OperationalError):
            for tier, (_, length_s, _) in enumerate(TIERS):
                start = unix_s if length_s == 0 else unix_s // length_s * length_s
                self._add_to_bin(tier, place, start, level, indicators)
            self._uncommitted += 1
            self._untidied += 1
            if self._untidied >= _TIDY_EVERY:
                self._untidied = 0
                self._tidy()
            if self._uncommitted >= _COMMIT_EVERY:
                self._uncommitted = 0
                self._connection.commit()

    def _add_to_bin(
        self, tier: int, place: str, start: float, level: int, indicators: dict[str, float]
    ) -> None:
        row = self._connection.execute(
            "SELECT count, worst, sums FROM trend WHERE tier = ? AND place = ? AND start_unix_s = ?",
            (tier, place, start),
        ).fetchone()
        count, worst, sums = (row[0], row[1], json.loads(row[2])) if row else (0, 0, {})
        for name, value in indicators.items():
            total, times = sums.get(name, (0.0, 0))
            sums[name] = (float(f"{total + value:.6g}"), times + 1)
        self._connection.execute(
            "INSERT OR REPLACE INTO trend VALUES (?, ?, ?, ?, ?, ?)",
            (tier, place, start, count + 1, max(worst, level), json.dumps(sums, separators=(",", ":"))),
        )

    def _tidy(self) -> None:
        for tier, (_, _, most) in enumerate(TIERS):
            places = self._connection.execute(
                "SELECT DISTINCT place FROM trend WHERE tier = ?", (tier,)
            ).fetchall()
            for (place,) in places:
                row = self._connection.execute(
                    "SELECT start_unix_s FROM trend WHERE tier = ? AND place = ? "
                    "ORDER BY start_unix_s DESC LIMIT 1 OFFSET ?",
                    (tier, place, most),
                ).fetchone()
                if row is not None:
                    self._connection.execute(
                        "DELETE FROM trend WHERE tier = ? AND place = ? AND start_unix_s <= ?",
                        (tier, place, row[0]),
                    )

    def read(
        self,
        machine: str,
        sensor: str,
        *,
        tier: str = "bursts",
        most: int = 1000,
        indicator: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return the latest entries of a tier, oldest first, with the means of all indicators or of one."""
        number = [name for name, _, _ in TIERS].index(tier)
        with self._lock:
            rows = self._connection.execute(
                "SELECT start_unix_s, count, worst, sums FROM trend WHERE tier = ? AND place = ? "
                "ORDER BY start_unix_s DESC LIMIT ?",
                (number, f"{machine}/{sensor}", most),
            ).fetchall()
        return [
            {
                "start_unix_s": start,
                "bursts": count,
                "worst": worst,
                "means": {
                    name: total / times
                    for name, (total, times) in json.loads(sums).items()
                    if indicator in (None, name)
                },
            }
            for start, count, worst, sums in reversed(rows)
        ]

    def close(self) -> None:
        """Write what is left and close the file."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.commit()
            self._connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(_SCHEMA)
        connection.commit()
        connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection
