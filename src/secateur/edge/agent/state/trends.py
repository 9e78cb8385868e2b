"""Trends of indicators: every burst for a while, then means of minutes, then of hours, in a bounded file."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secateur.edge.agent.outbox.database import is_damage, not_opened
from secateur.edge.agent.signal.quality import CLOCK_AHEAD_S, EARLIEST_UNIX_S

log = logging.getLogger(__name__)

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
        self._path = path
        self._uncommitted = 0
        self._untidied: Counter[str] = Counter()
        try:
            self._connection = _connect(path)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise not_opened(path, error) from None
            self._replace()

    def _replace(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._connection = _connect(self._path)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Hold the file; one that turns out to be damaged is replaced, and a full disk costs trends alone."""
        with self._lock:
            try:
                yield self._connection
            except sqlite3.DatabaseError as error:
                if is_damage(error):
                    log.error("the trends in %s were damaged, and start anew: %s", self._path, error)
                    with contextlib.suppress(sqlite3.Error, OSError):
                        self._connection.close()
                        self._replace()

    def add(self, machine: str, sensor: str, unix_s: float, level: int, indicators: dict[str, float]) -> None:
        """Add the indicators of one burst."""
        place = f"{machine}/{sensor}"
        with self._open():
            for tier, (_, length_s, _) in enumerate(TIERS):
                start = unix_s if length_s == 0 else unix_s // length_s * length_s
                self._add_to_bin(tier, place, start, level, indicators)
            self._uncommitted += 1
            self._untidied[place] += 1
            if self._untidied[place] >= _TIDY_EVERY:
                self._untidied[place] = 0
                self._tidy(place)
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
        count, worst, sums = (row[0], row[1], _sums(row[2])) if row else (0, 0, {})
        for name, value in indicators.items():
            total, times = sums.get(name, (0.0, 0))
            sums[name] = (float(f"{total + value:.9g}"), times + 1)
        self._connection.execute(
            "INSERT OR REPLACE INTO trend VALUES (?, ?, ?, ?, ?, ?)",
            (tier, place, start, count + 1, max(worst, level), json.dumps(sums, separators=(",", ":"))),
        )

    def _tidy(self, place: str) -> None:
        for tier, (_, _, most) in enumerate(TIERS):
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
        """Return the latest entries of a tier, oldest first, with the means of all indicators or of one.

        Those of a time when the clock was not set are left out, and those of one when it was ahead until that
        time has come.
        """
        number = [name for name, _, _ in TIERS].index(tier)
        rows: list[tuple[Any, ...]] = []
        with self._open() as connection:
            rows = connection.execute(
                "SELECT start_unix_s, count, worst, sums FROM trend WHERE tier = ? AND place = ? "
                "AND start_unix_s BETWEEN ? AND ? ORDER BY start_unix_s DESC LIMIT ?",
                (number, f"{machine}/{sensor}", EARLIEST_UNIX_S, time.time() + CLOCK_AHEAD_S, most),
            ).fetchall()
        return [
            {
                "start_unix_s": start,
                "bursts": count,
                "worst": worst,
                "means": {
                    name: total / times
                    for name, (total, times) in _sums(sums).items()
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


def _sums(text: Any) -> dict[str, tuple[float, int]]:
    """Return sums and counts by indicator as they were stored; empty where a failing disk has spoilt them."""
    try:
        return {
            name: (float(total), int(times)) for name, (total, times) in json.loads(text).items() if times
        }
    except (ValueError, TypeError, AttributeError):
        return {}


def _connect(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(_SCHEMA)
        connection.commit()
    except sqlite3.Error:
        connection.close()
        raise
    return connection
