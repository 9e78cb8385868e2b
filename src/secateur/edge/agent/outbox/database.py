"""The agent's database: one SQLite file in WAL mode, one transaction a burst, repaired where damaged."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from secateur.core.errors import CheckpointError, SecateurError

SCHEMA = """
CREATE TABLE IF NOT EXISTS results(
    seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, kind TEXT NOT NULL, machine TEXT NOT NULL,
    sensor TEXT NOT NULL, running_s REAL NOT NULL, created_unix_s REAL NOT NULL, payload BLOB NOT NULL,
    crc INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS results_by_kind ON results(kind, seq);
CREATE TABLE IF NOT EXISTS seen(seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS sinks(
    name TEXT PRIMARY KEY, acknowledged_through INTEGER NOT NULL, attempted_through INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS counters(name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS alarms(
    id TEXT PRIMARY KEY, machine TEXT NOT NULL, sensor TEXT NOT NULL, level INTEGER NOT NULL,
    highest INTEGER NOT NULL, causes TEXT NOT NULL, opened_unix_s REAL NOT NULL, changed_unix_s REAL NOT NULL,
    closed_unix_s REAL, acknowledged_unix_s REAL, acknowledged_by TEXT, comment TEXT);
CREATE INDEX IF NOT EXISTS alarms_by_place ON alarms(machine, sensor, changed_unix_s);
CREATE INDEX IF NOT EXISTS alarms_by_time ON alarms(opened_unix_s);
CREATE TABLE IF NOT EXISTS alarm_events(
    number INTEGER PRIMARY KEY AUTOINCREMENT, alarm TEXT NOT NULL, unix_s REAL NOT NULL, kind TEXT NOT NULL,
    level INTEGER NOT NULL, author TEXT, text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS events_by_alarm ON alarm_events(alarm, number);
"""

_STATEMENTS = tuple(filter(str.strip, SCHEMA.split(";")))
PAGE_BYTES = 4096
_CHECKPOINT_PAGES = 1000
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


KEPT_FREE_BYTES = 8 << 20
"""So much of the disk a backlog leaves: to send and remove what waits takes room too, the log of SQLite above
all, and so does a start."""

NEEDED_TO_START_BYTES = 1 << 20


class StorageError(SecateurError):
    """The disk is full, or does not answer; nothing was stored."""


def not_opened(path: Path, error: Exception) -> StorageError:
    """Return what to tell of a database that a start cannot open."""
    told = f"{path} could not be opened: {error}."
    free = shutil.disk_usage(path.parent).free
    if free < NEEDED_TO_START_BYTES:
        told += (
            f" Its disk has {free >> 10} KiB left; a start needs {NEEDED_TO_START_BYTES >> 10}. Free some: "
            "nothing that was taken is lost."
        )
    return StorageError(told)


class Database:
    """A connection that several threads share, one transaction at a time.

    A transaction is on the disk when it ends (``synchronous = FULL``): a power cut takes nothing back. A
    file that
    turns out to be damaged is put aside; what can be read of it goes into a new one, and work goes on.

    Parameters
    ----------
    path : Path
        Created if it is not there.
    on_repair : callable, optional
        Told, after a repair, where the damaged file is.

    Attributes
    ----------
    repairs : int
        How often the file had to be put together again since the agent started.
    """

    def __init__(self, path: Path, *, on_repair: Callable[[Path], None] | None = None) -> None:
        self.path = Path(path)
        self.repairs = 0
        self._on_repair = on_repair
        self._lock = threading.RLock()
        self._depth = 0
        self._when_stored: list[Callable[[], None]] = []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = connect(self.path)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise not_opened(self.path, error) from None
            self._repair()

    @contextmanager
    def transaction(self, *, synced: bool = True) -> Iterator[sqlite3.Connection]:
        """Hold the database for one transaction; one inside another belongs to it.

        Parameters
        ----------
        synced : bool
            False where a power cut may take it back: it is whole or not there, and synced with the next one.

        Raises
        ------
        StorageError
            If the disk is full or fails, or the file was damaged and had to be put together again; the
            transaction did not happen, and may be tried again.
        """
        with self._lock:
            outermost = self._depth == 0
            self._depth += 1
            try:
                if outermost:
                    self._connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
                    self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                if outermost:
                    self._connection.execute("COMMIT")
                    for note in self._when_stored:
                        note()
            except BaseException as error:
                if outermost:
                    self._give_up(error)
                raise
            finally:
                self._depth -= 1
                if outermost:
                    self._when_stored.clear()

    def when_stored(self, note: Callable[[], None]) -> None:
        """Call something once the transaction at hand is on the disk; not at all if it is given up."""
        self._when_stored.append(note)

    def _give_up(self, error: BaseException) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.DatabaseError):
            if is_damage(error):
                self._repair()
                raise StorageError(f"{self.path} was damaged and has been put together again.") from None
            self._begin_log_anew()
            raise StorageError(
                f"nothing could be stored in {self.path}: {error}. Is the disk full?"
            ) from None

    def _repair(self) -> None:
        from secateur.edge.agent.outbox.repair import repair

        with contextlib.suppress(sqlite3.Error, AttributeError):
            self._connection.close()
        aside = repair(self.path).damaged
        self._connection = connect(self.path)
        self.repairs += 1
        if self._on_repair is not None:
            self._on_repair(aside)

    def room_bytes(self) -> int:
        """Return what the file can still take: pages of it that are free, and what is left of the disk."""
        with self.transaction() as connection:
            (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
        return int(pages) * PAGE_BYTES + shutil.disk_usage(self.path.parent).free

    def next_number(self, name: str) -> int:
        """Count up by name, from 0, over restarts too."""
        with self.transaction() as connection:
            row = connection.execute(
                "INSERT INTO counters VALUES (?, 0) ON CONFLICT(name) DO UPDATE SET value = value + 1 "
                "RETURNING value",
                (name,),
            ).fetchone()
        return int(row[0])

    def identity(self) -> str:
        """Return what tells this database from every other one, over restarts and renamed folders."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO counters VALUES ('identity', ?)", (secrets.randbits(32),)
            )
            return f"{int(counter(connection, 'identity')):08x}"

    def checkpoint(self) -> None:
        """Bring what is in the log into the main file, and empty it."""
        self._checkpoint("TRUNCATE")

    def _begin_log_anew(self) -> None:
        """Make the room of the log usable again where the disk gives no more."""
        self._checkpoint("RESTART")

    def _checkpoint(self, way: str) -> None:
        with self._lock, contextlib.suppress(sqlite3.OperationalError):
            self._connection.execute(f"PRAGMA wal_checkpoint({way})").fetchall()

    def close(self) -> None:
        """Close the file; what was committed is there."""
        with self._lock:
            self._connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """Open the file with the settings that the agent needs, and its tables."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute("PRAGMA cache_size = -4096")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        connection.text_factory = as_text
        for statement in _STATEMENTS:
            connection.execute(statement)
        require_tables(connection, path)
        connection.execute("SELECT * FROM results ORDER BY seq LIMIT 1").fetchone()
        connection.execute("SELECT * FROM results ORDER BY seq DESC LIMIT 1").fetchone()
    except (sqlite3.Error, CheckpointError):
        connection.close()
        raise
    return connection


def as_text(stored: bytes) -> str:
    """Return a text; one that a failing disk has spoilt stays readable: one row must not stop everything."""
    return stored.decode(errors="replace")


def require_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the tables that are there have the columns of this version.

    Raises
    ------
    CheckpointError
        If another version has made them.
    """
    with contextlib.closing(sqlite3.connect(":memory:")) as model:
        for statement in _STATEMENTS:
            model.execute(statement)
        wanted, found = _columns(model), _columns(connection)
    for table, columns in wanted.items():
        if found.get(table, columns) != columns:
            raise CheckpointError(
                f"{path} was written by another version of secateur: its table {table} has the columns "
                f"{', '.join(found[table])}, and {', '.join(columns)} are read. Start that version, or move "
                "the file away; what waits in it is not sent then."
            )


def _columns(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    query = "SELECT name FROM pragma_table_info(?) ORDER BY cid"
    return {table: tuple(name for (name,) in connection.execute(query, (table,))) for table in tables}


def counter(connection: sqlite3.Connection, name: str) -> float:
    """Return a count by its name; 0 where there is none, or what is stored is no number."""
    row = connection.execute(
        "SELECT COALESCE(CAST(value AS REAL), 0.0) FROM counters WHERE name = ?", (name,)
    ).fetchone()
    return float(row[0]) if row else 0.0


def add_to_counter(connection: sqlite3.Connection, name: str, by: float) -> None:
    """Raise a count by its name."""
    connection.execute(
        "INSERT INTO counters VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET value = value + excluded.value",
        (name, by),
    )


def set_counter(connection: sqlite3.Connection, name: str, value: float) -> None:
    """Set a count by its name."""
    connection.execute(
        "INSERT INTO counters VALUES (?, ?) ON CONFLICT(name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file itself is damaged."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in _DAMAGE or "malformed" in str(error)


class RunningClock:
    """Seconds that the agent has run, over all its starts: it never jumps, whatever the wall clock does.

    Parameters
    ----------
    database : Database
        Keeps it between starts.
    """

    def __init__(self, database: Database) -> None:
        with database.transaction() as connection:
            self._base_s = counter(connection, "running_s")
        self._started_s = time.monotonic()

    def now_s(self) -> float:
        """Return the seconds so far."""
        return self._base_s + time.monotonic() - self._started_s
