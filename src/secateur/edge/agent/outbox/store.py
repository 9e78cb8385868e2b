"""The outbox: results that wait on disk, in order, until every sink has acknowledged them."""

from __future__ import annotations

import sqlite3
import threading
import time
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from secateur.edge.agent.config.settings import Outbox as OutboxSettings
from secateur.edge.agent.outbox.database import (
    KEPT_FREE_BYTES,
    Database,
    RunningClock,
    add_to_counter,
    counter,
    set_counter,
)
from secateur.edge.agent.outbox.inflow import Inflow

Kind = Literal["result", "alarm"]

ROW_BYTES = 256
"""What a row takes beside its payload: names, key, indexes."""

LEAST_BYTES = 1 << 20
"""So much may wait however little room the disk has; what that cannot take is not acknowledged."""

KEYS_REMEMBERED = 10_000
FILLING_SHARE, EMPTIED_SHARE = 0.8, 0.7
_AGED_AT_ONCE = 64
_LARGEST_BATCH_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Something to be sent.

    Attributes
    ----------
    key : str
        The same result has the same key, however often it is sent.
    kind : {"result", "alarm"}
    machine, sensor : str
    payload : bytes
        JSON.
    """

    key: str
    kind: Kind
    machine: str
    sensor: str
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class Record(Entry):
    """An entry as it lies in the outbox.

    Attributes
    ----------
    seq : int
        Grows from one to the next.
    created_unix_s : float
        Wall clock when it was stored.
    historical : bool
        It waited longer than results do while all is well.
    redelivered : bool
        It may have been sent before: an earlier attempt ended without an acknowledgement.
    """

    seq: int
    created_unix_s: float
    historical: bool
    redelivered: bool


@dataclass(frozen=True, kw_only=True)
class OutboxStatus:
    """How full the outbox is.

    Attributes
    ----------
    rows, bytes, most_bytes : int
        What waits, and how much may: as it is set, or what the disk has room for where that is less.
    room_bytes : int
        What the database can still take: free pages of it, and what is left of the disk.
    share : float
        ``bytes`` over ``most_bytes``.
    filling : bool
        Whether it has passed 80 %, and not fallen below 70 % since, or the disk is nearly full.
    bytes_per_s : float
        At which new results come that a sink wants: the mean of ``rate_over_s``.
    rate_over_s : float
        The last five minutes, or what the agent has run since its start.
    hours_left : float or None
        How long at that rate until the first result is lost to the bounds of size or age, if nothing is
        sent; None if none came.
    waiting : dict of str to int
        Rows that each sink wants and has not acknowledged.
    dropped : dict of str to int
        Results given up, by reason.
    """

    rows: int
    bytes: int
    most_bytes: int
    room_bytes: int
    share: float
    filling: bool
    bytes_per_s: float
    rate_over_s: float
    hours_left: float | None
    waiting: dict[str, int]
    dropped: dict[str, int]


class Outbox:
    """Results in the order of their making, kept until all sinks that want them have them, bounded.

    Parameters
    ----------
    database : Database
    settings : OutboxSettings
    sinks : sequence of str
        Names of those that must acknowledge. A new one starts with what comes from now on; one that is no
        longer named holds nothing back.
    alarms_only : collection of str
        Sinks that want no results.
    clock : RunningClock, optional
        By which age is measured; default: one of its own.
    """

    def __init__(
        self,
        database: Database,
        settings: OutboxSettings,
        sinks: Sequence[str],
        *,
        alarms_only: Collection[str] = (),
        clock: RunningClock | None = None,
    ) -> None:
        self._alarms_only = frozenset(alarms_only)
        self._database, self._settings, self._sinks = database, settings, tuple(sinks)
        self._clock = clock or RunningClock(database)
        self._most_bytes = settings.max_mib << 20
        self._inflow = Inflow(self._clock.now_s())
        self._filling = False
        self.changed = threading.Condition()
        with database.transaction() as connection:
            last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'results'").fetchone()
            marks = ",".join("?" * len(self._sinks))
            connection.execute(f"DELETE FROM sinks WHERE name NOT IN ({marks})", self._sinks)
            for name in self._sinks:
                connection.execute(
                    "INSERT OR IGNORE INTO sinks VALUES (?, ?, ?)", (name, last[0] if last else 0, 0)
                )
            self._remove_acknowledged(connection)

    def append(self, entries: Iterable[Entry]) -> list[bool]:
        """Store entries; they are on the disk when this returns, unless an outer transaction holds them back.

        Returns
        -------
        list of bool
            Whether each is new: one whose key was stored before is passed over.

        Raises
        ------
        StorageError
            If the disk is full or fails.
        """
        added = []
        with self._database.transaction() as connection:
            for entry in entries:
                added.append(self._append_one(connection, entry))
            self._drop_aged(connection)
            set_counter(connection, "running_s", self._clock.now_s())
        with self.changed:
            self.changed.notify_all()
        return added

    def knows(self, key: str) -> bool:
        """Whether an entry of that key was stored, among the last ten thousand."""
        with self._database.transaction() as connection:
            return connection.execute("SELECT 1 FROM seen WHERE key = ?", (key,)).fetchone() is not None

    def _append_one(self, connection: sqlite3.Connection, entry: Entry) -> bool:
        if connection.execute("SELECT 1 FROM seen WHERE key = ?", (entry.key,)).fetchone():
            return False
        size = len(entry.payload) + ROW_BYTES
        wanted = bool(self._wanting(entry.kind))
        kept = wanted and self._make_room(connection, size, entry.kind)
        if kept:
            row = connection.execute(
                "INSERT INTO results(key, kind, machine, sensor, running_s, created_unix_s, payload, crc) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    entry.key,
                    entry.kind,
                    entry.machine,
                    entry.sensor,
                    self._clock.now_s(),
                    time.time(),
                    entry.payload,
                    zlib.crc32(entry.payload),
                ),
            )
            add_to_counter(connection, "rows", 1)
            add_to_counter(connection, "bytes", size)
            assert row.lastrowid is not None
        number = connection.execute("SELECT COALESCE(MAX(seq), 0) + 1 FROM seen").fetchone()[0]
        connection.execute("INSERT INTO seen VALUES (?, ?)", (number, entry.key))
        connection.execute("DELETE FROM seen WHERE seq <= ?", (number - KEYS_REMEMBERED,))
        if wanted:
            self._database.when_stored(lambda: self._inflow.add(self._clock.now_s(), size))
        return True

    def _make_room(self, connection: sqlite3.Connection, size: int, kind: Kind) -> bool:
        if size > self._most_bytes:
            add_to_counter(connection, "dropped: larger than the outbox", 1)
            return False
        while (waiting := int(counter(connection, "bytes"))) + size > self._bound(waiting):
            if kind == "result" and self._settings.drop == "newest":
                add_to_counter(connection, "dropped: outbox full, newest", 1)
                return False
            if not self._drop_oldest(connection, "result") and (
                kind == "result" or not self._drop_oldest(connection, "alarm")
            ):
                add_to_counter(connection, "dropped: outbox full of alarms", 1)
                return False
        return True

    def _bound(self, waiting: int) -> int:
        """Return how many bytes may wait: as many as are set, or as the disk has room for."""
        left = waiting + self._database.room_bytes() - KEPT_FREE_BYTES
        return min(self._most_bytes, max(LEAST_BYTES, left))

    def _drop_oldest(self, connection: sqlite3.Connection, kind: Kind) -> int:
        return self._delete(
            connection,
            "seq IN (SELECT seq FROM results WHERE kind = ? ORDER BY seq LIMIT ?)",
            (kind, 1 if kind == "alarm" else max(1, int(counter(connection, "rows")) // 256)),
            reason="dropped: outbox full, oldest",
        )

    def _drop_aged(self, connection: sqlite3.Connection) -> None:
        oldest = self._clock.now_s() - 3600.0 * self._settings.max_age_h
        while self._delete(
            connection,
            "seq IN (SELECT seq FROM results ORDER BY seq LIMIT ?) AND running_s < ?",
            (_AGED_AT_ONCE, oldest),
            reason="dropped: too old",
        ):
            pass

    def _delete(
        self, connection: sqlite3.Connection, where: str, values: tuple[object, ...], *, reason: str | None
    ) -> int:
        sizes = connection.execute(f"DELETE FROM results WHERE {where} RETURNING length(payload)", values)
        gone = [size for (size,) in sizes.fetchall()]
        if gone:
            add_to_counter(connection, "rows", -len(gone))
            add_to_counter(connection, "bytes", -sum(gone) - ROW_BYTES * len(gone))
            if reason is not None:
                add_to_counter(connection, reason, len(gone))
        return len(gone)

    def next(self, sink: str, *, most: int = 64) -> list[Record]:
        """Return the oldest entries that a sink wants and has not acknowledged; empty if there are none.

        An entry whose content does not have its checksum is given up and counted.
        """
        with self._database.transaction() as connection:
            through, attempted = self._cursor(connection, sink)
            wanted = "kind = 'alarm' AND " if sink in self._alarms_only else ""
            rows = connection.execute(
                "SELECT seq, key, kind, machine, sensor, running_s, created_unix_s, payload, crc "
                f"FROM results WHERE {wanted}seq > ? ORDER BY seq LIMIT ?",
                (through, most),
            ).fetchall()
            damaged = [row[0] for row in rows if zlib.crc32(row[7]) != row[8]]
            for seq in damaged:
                self._delete(connection, "seq = ?", (seq,), reason="dropped: damaged on disk")
        found: list[Record] = []
        now_s, total = self._clock.now_s(), 0
        for seq, key, kind, machine, sensor, running_s, created_unix_s, payload, _ in rows:
            if seq in damaged:
                continue
            total += len(payload)
            if found and total > _LARGEST_BATCH_BYTES:
                break
            found.append(
                Record(
                    seq=seq,
                    key=key,
                    kind=kind,
                    machine=machine,
                    sensor=sensor,
                    payload=payload,
                    created_unix_s=created_unix_s,
                    historical=now_s - running_s > self._settings.historical_after_s,
                    redelivered=seq <= attempted,
                )
            )
        return found

    def attempt(self, sink: str, through: int) -> None:
        """Note, before anything is sent, that entries up to this one may reach the sink from now on."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE sinks SET attempted_through = max(attempted_through, ?) WHERE name = ?",
                (through, sink),
            )

    def acknowledge(self, sink: str, through: int) -> None:
        """Note that a sink has all entries up to this one; what all have that want it is removed.

        Not synced: if a power cut takes it back, the entries are sent again, marked.
        """
        with self._database.transaction(synced=False) as connection:
            connection.execute(
                "UPDATE sinks SET acknowledged_through = max(acknowledged_through, ?) WHERE name = ?",
                (through, sink),
            )
            self._remove_acknowledged(connection)

    def give_up(self, sink: str, seq: int) -> None:
        """Pass over an entry that a sink refuses for good, and count it."""
        with self._database.transaction() as connection:
            add_to_counter(connection, f"dropped: refused by {sink}", 1)
            self.acknowledge(sink, seq)

    def _remove_acknowledged(self, connection: sqlite3.Connection) -> None:
        for kind in get_args(Kind):
            names = self._wanting(kind)
            if not names:
                self._delete(connection, "kind = ?", (kind,), reason="dropped: no sink")
                continue
            through = min(self._cursor(connection, name)[0] for name in names)
            self._delete(connection, "kind = ? AND seq <= ?", (kind, through), reason=None)

    def _wanting(self, kind: Kind) -> list[str]:
        return [name for name in self._sinks if kind == "alarm" or name not in self._alarms_only]

    def _cursor(self, connection: sqlite3.Connection, sink: str) -> tuple[int, int]:
        row = connection.execute(
            "SELECT acknowledged_through, attempted_through FROM sinks WHERE name = ?", (sink,)
        ).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def _waiting(self, connection: sqlite3.Connection, sink: str, rows: int) -> int:
        """Count what a sink wants and has not acknowledged; a million rows are not looked through for it."""
        through, _ = self._cursor(connection, sink)
        if sink not in self._alarms_only:
            least = min(self._cursor(connection, name)[0] for name in self._wanting("result"))
            if through == least:  # all results that are left lie after it
                query = "SELECT COUNT(*) FROM results WHERE kind = 'alarm' AND seq <= ?"
                return rows - int(connection.execute(query, (through,)).fetchone()[0])
        wanted = "kind = 'alarm' AND " if sink in self._alarms_only else ""
        query = f"SELECT COUNT(*) FROM results WHERE {wanted}seq > ?"
        return int(connection.execute(query, (through,)).fetchone()[0])

    def status(self) -> OutboxStatus:
        """Return how full it is."""
        with self._database.transaction() as connection:
            rows, size = counter(connection, "rows"), counter(connection, "bytes")
            oldest = connection.execute("SELECT running_s FROM results ORDER BY seq LIMIT 1").fetchone()
            dropped = dict(
                connection.execute("SELECT name, value FROM counters WHERE name LIKE 'dropped: %'").fetchall()
            )
            waiting = {name: self._waiting(connection, name, int(rows)) for name in self._sinks}
        most_bytes, room_bytes = self._bound(int(size)), self._database.room_bytes()
        share = size / most_bytes
        is_full = share >= (EMPTIED_SHARE if self._filling else FILLING_SHARE)
        self._filling = is_full or room_bytes < KEPT_FREE_BYTES
        now_s = self._clock.now_s()
        rate, span_s = self._inflow.rate(now_s)
        aged_h = max(0.0, self._settings.max_age_h - (now_s - oldest[0] if oldest else 0.0) / 3600.0)
        return OutboxStatus(
            rows=int(rows),
            bytes=int(size),
            most_bytes=most_bytes,
            room_bytes=room_bytes,
            share=share,
            filling=self._filling,
            bytes_per_s=rate,
            rate_over_s=span_s,
            hours_left=min(max(0.0, most_bytes - size) / rate / 3600.0, aged_h) if rate > 0 else None,
            waiting=waiting,
            dropped={name.removeprefix("dropped: "): int(value) for name, value in dropped.items()},
        )
