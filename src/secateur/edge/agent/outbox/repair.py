"""Check, repair and export of the agent's database, also while its agent is stopped."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.core.errors import CheckpointError, ConfigError
from secateur.core.locks import sole_owner
from secateur.edge.agent.outbox.database import PAGE_BYTES, as_text, connect, require_tables

DAMAGED_KEPT = 3
_PAGES_AT, _FREE_LIST_AT = 28, 32
"""Places in the head of the file format of SQLite."""

_STEP = 256
_NO_END = (1 << 63) - 1
_FEW = 16
_MOST_KEYS = 20_000_000
"""So many are looked for behind a damage: the note of the highest may be damaged, too."""

_COLUMNS = "seq, key, kind, machine, sensor, running_s, created_unix_s, payload, crc"
_OTHER_TABLES = {"sinks": 3, "counters": 2, "alarms": 12, "alarm_events": 7, "seen": 2}


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a check found.

    Attributes
    ----------
    sound : bool
    rows : int
        Results that can be read.
    bad_checksums : int
        Results whose content is not what was stored.
    messages : tuple of str
        What SQLite says about the file; empty if it is whole.
    """

    sound: bool
    rows: int
    bad_checksums: int
    messages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """What a repair saved.

    Attributes
    ----------
    damaged : Path
        Where the damaged file is kept.
    rows : int
        Results saved.
    bad_checksums : int
        Results left out because their content is not what was stored.
    """

    damaged: Path
    rows: int
    bad_checksums: int


def check(path: Path) -> Findings:
    """Read the whole file and compare every checksum; nothing is changed.

    Raises
    ------
    ConfigError
        As :func:`require_own`.
    """
    with contextlib.closing(_read_only(path)) as connection:
        try:
            lines = [line for (line,) in connection.execute("PRAGMA quick_check(20)")]
            messages = [] if lines == ["ok"] else lines
        except sqlite3.DatabaseError as error:
            messages = [str(error)]
        if not _has_tables(connection):
            messages.append("its first page is lost; 'secateur outbox repair' may read the rest all the same")
        rows = bad = 0
        for row in _rows(connection):
            good = zlib.crc32(row[7]) == row[8]
            rows, bad = rows + good, bad + (not good)
        return Findings(
            sound=not messages and not bad, rows=rows, bad_checksums=bad, messages=tuple(messages)
        )


def repair(path: Path) -> Repaired:
    """Put what can be read into a new file; the damaged one is kept beside it.

    Results that are saved without a trustworthy note of what was sent are marked as sent before.

    Raises
    ------
    ConfigError
        Also if another process uses the folder.
    """
    path = Path(path)
    require_own(path)
    with sole_owner(path.parent):
        return _repair(path)


def _repair(path: Path) -> Repaired:
    fresh = path.with_name(f".{path.name}.repaired")
    for leftover in (fresh, *_companions(fresh)):
        leftover.unlink(missing_ok=True)
    rows = bad = last = 0
    target = connect(fresh)
    with contextlib.closing(target):
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        with contextlib.closing(_read_only(path)) as source:
            is_whole = _has_tables(source)
        readable = path if is_whole else _with_first_page_of(fresh, path)
        target.execute("BEGIN")
        with contextlib.closing(_read_only(readable)) as source:
            for row in _rows(source):
                last = max(last, row[0])
                if zlib.crc32(row[7]) != row[8]:
                    bad += 1
                    continue
                with contextlib.suppress(sqlite3.IntegrityError):
                    target.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
                    rows += 1
            for table, width in _OTHER_TABLES.items():
                _copy(source, target, table, width)
        _settle(target, last, bad)
        target.execute("COMMIT")
        target.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    if readable != path:
        for copy in (readable, *_companions(readable)):
            copy.unlink(missing_ok=True)
    damaged = _free_name(path)
    for suffix in ("-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.replace(damaged.with_name(damaged.name + suffix))
    path.replace(damaged)
    for leftover in _companions(fresh):
        leftover.unlink(missing_ok=True)
    fresh.replace(path)
    _remove_older(path)
    return Repaired(damaged=damaged, rows=rows, bad_checksums=bad)


def _has_tables(connection: sqlite3.Connection) -> bool:
    try:
        found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'results'").fetchone()
    except sqlite3.DatabaseError:
        return False
    return found is not None


def _with_first_page_of(fresh: Path, path: Path) -> Path:
    """Return a copy of a file whose first page is damaged, with that of a fresh database in its place.

    The first page says where each table begins, and without it nothing of the rest can be read. Tables are
    made in one order, so they begin at the same pages in every database of an agent.
    """
    copy = path.with_name(f".{path.name}.rescued")
    shutil.copyfile(path, copy)
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(path.with_name(f"{path.name}-wal"), copy.with_name(f"{copy.name}-wal"))
    page = bytearray(fresh.read_bytes()[:PAGE_BYTES])
    struct.pack_into(">I", page, _PAGES_AT, path.stat().st_size // PAGE_BYTES)
    struct.pack_into(">II", page, _FREE_LIST_AT, 0, 0)
    with copy.open("r+b") as file:
        file.write(page)
    return copy


def export(path: Path) -> Iterator[dict[str, Any]]:
    """Yield every result that can be read, oldest first, in memory that does not depend on their number.

    Raises
    ------
    ConfigError
        As :func:`require_own`.
    """
    with contextlib.closing(_read_only(path)) as connection:
        for seq, key, kind, machine, sensor, _, created_unix_s, payload, crc in _rows(connection):
            if zlib.crc32(payload) == crc:
                yield {
                    "seq": seq,
                    "key": key,
                    "kind": kind,
                    "machine": machine,
                    "sensor": sensor,
                    "created_unix_s": created_unix_s,
                    "payload": json.loads(payload),
                }


def require_own(path: Path) -> None:
    """Check that a file is the database of an agent, as far as damage lets anybody say; nothing is changed.

    Raises
    ------
    ConfigError
        If there is no such file, or it is the database of another program.
    CheckpointError
        If another version of secateur wrote it.
    """
    _read_only(path).close()


def _read_only(path: Path) -> sqlite3.Connection:
    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            f"{path} is missing; give the state folder of an agent, or its database, agent.sqlite."
        )
    connection = sqlite3.connect(f"file:{path.absolute()}?mode=ro", uri=True, timeout=10.0)
    # else SQLite gives nothing of a file that is shorter than its head says
    connection.execute("PRAGMA writable_schema = ON")
    connection.text_factory = as_text
    tables: set[str] = set()
    with contextlib.suppress(sqlite3.DatabaseError):  # damage is for the caller to find
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if tables and "results" not in tables:
        connection.close()
        raise ConfigError(f"{path} is the database of another program; give the agent's agent.sqlite.")
    try:
        with contextlib.suppress(sqlite3.DatabaseError):
            require_tables(connection, path)
    except CheckpointError:
        connection.close()
        raise
    return connection


def _rows(connection: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Yield all rows that can be read, in order."""
    last = -1
    try:
        while rows := _some(connection, last + 1, _NO_END):
            yield from filter(_is_whole, rows)
            last = rows[-1][0]
    except sqlite3.DatabaseError:
        yield from _around_damage(connection, last + 1)


def _around_damage(connection: sqlite3.Connection, first: int) -> Iterator[tuple[Any, ...]]:
    """Yield rows from ``first`` on, a few at a time and singly where some are missing.

    A damaged page may end a search early and without an error, so what one leaves out is asked for by itself.
    """
    last = min(_highest(connection), first + _MOST_KEYS)
    for low in range(first, last + 1, _FEW):
        high = min(low + _FEW - 1, last)
        rows = _read(connection, low, high)
        if len(rows) < high - low + 1:
            rows = [row for key in range(low, high + 1) for row in _read(connection, key, key)]
        yield from filter(_is_whole, rows)


def _read(connection: sqlite3.Connection, low: int, high: int) -> list[tuple[Any, ...]]:
    try:
        return [row for row in _some(connection, low, high) if low <= row[0] <= high]
    except sqlite3.DatabaseError:
        return []


def _highest(connection: sqlite3.Connection) -> int:
    """Return the highest number that a row may have."""
    found = [0]
    for query in (
        "SELECT seq FROM sqlite_sequence WHERE name = 'results'",
        "SELECT seq FROM results ORDER BY seq DESC LIMIT 1",
    ):
        with contextlib.suppress(sqlite3.DatabaseError):
            found += [int(value) for (value,) in connection.execute(query) if isinstance(value, int)]
    return max(found)


def _some(connection: sqlite3.Connection, low: int, high: int) -> list[tuple[Any, ...]]:
    return connection.execute(
        f"SELECT {_COLUMNS} FROM results WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?", (low, high, _STEP)
    ).fetchall()


def _is_whole(row: tuple[Any, ...]) -> bool:
    return isinstance(row[7], bytes)


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str, width: int) -> None:
    with contextlib.suppress(sqlite3.DatabaseError):
        for row in source.execute(f"SELECT * FROM {table}"):
            target.execute(f"INSERT OR IGNORE INTO {table} VALUES ({','.join('?' * width)})", row)


def _settle(target: sqlite3.Connection, last: int, bad: int) -> None:
    """Make counters and cursors agree with the rows that were saved."""
    from secateur.edge.agent.outbox.store import ROW_BYTES

    rows, size = target.execute("SELECT COUNT(*), COALESCE(SUM(length(payload)), 0) FROM results").fetchone()
    counters = {"rows": rows, "bytes": size + ROW_BYTES * rows}
    for name, value in counters.items():
        target.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, value))
    if bad:
        target.execute(
            "INSERT INTO counters VALUES ('dropped: damaged on disk', ?) "
            "ON CONFLICT(name) DO UPDATE SET value = value + excluded.value",
            (bad,),
        )
    target.execute("UPDATE sinks SET attempted_through = max(attempted_through, ?)", (last,))


def _companions(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")]


def _free_name(path: Path) -> Path:
    return path.with_name(f"{path.name}.damaged-{max(_numbers(path), default=0) + 1}")


def _numbers(path: Path) -> list[int]:
    """Return the numbers of the damaged files that are kept."""
    ends = (other.name.rpartition("-")[2] for other in path.parent.glob(f"{path.name}.damaged-*"))
    return sorted(int(end) for end in ends if end.isdecimal())


def _remove_older(path: Path) -> None:
    """Keep the latest damaged files alone: on a disk that fails they would fill it."""
    for number in _numbers(path)[:-DAMAGED_KEPT]:
        gone = path.with_name(f"{path.name}.damaged-{number}")
        for file in (gone, *_companions(gone)):
            file.unlink(missing_ok=True)
