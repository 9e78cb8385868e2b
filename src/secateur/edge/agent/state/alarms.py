"""Alarms: one for a fault, from its opening to its end, acknowledged by a person with name and comment."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from secateur.core.errors import DataError
from secateur.edge.agent.burst import Burst
from secateur.edge.agent.config.parts import CONTROL
from secateur.edge.agent.outbox.database import Database
from secateur.edge.agent.state.levels import Judgement, Level
from secateur.edge.agent.state.spreadsheet import csv_line

ALARMS_KEPT = 10_000
LONGEST_NAME, LONGEST_COMMENT = 80, 2000
_LEVELS: dict[str, Level] = {level.word: level for level in Level}
_COLUMNS = (
    "id, machine, sensor, level, highest, causes, opened_unix_s, changed_unix_s, closed_unix_s, "
    "acknowledged_unix_s, acknowledged_by, comment"
)


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One alarm.

    Attributes
    ----------
    id : str
    machine, sensor : str
    level, highest : Level
        Now, and the worst since it opened.
    causes : dict of str to str
        Indicators that are raised now, or were when it closed, with their levels.
    opened_unix_s, changed_unix_s : float
    closed_unix_s, acknowledged_unix_s : float or None
        None while it is open, or nobody acknowledged it.
    acknowledged_by, comment : str or None
    """

    id: str
    machine: str
    sensor: str
    level: Level
    highest: Level
    causes: dict[str, str]
    opened_unix_s: float
    changed_unix_s: float
    closed_unix_s: float | None
    acknowledged_unix_s: float | None
    acknowledged_by: str | None
    comment: str | None

    @property
    def is_open(self) -> bool:
        """Whether the fault is still there."""
        return self.closed_unix_s is None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "id": self.id,
            "machine": self.machine,
            "sensor": self.sensor,
            "level": self.level.word,
            "highest": self.highest.word,
            "open": self.is_open,
            "causes": self.causes,
            "opened_unix_s": self.opened_unix_s,
            "changed_unix_s": self.changed_unix_s,
            "closed_unix_s": self.closed_unix_s,
            "acknowledged_unix_s": self.acknowledged_unix_s,
            "acknowledged_by": self.acknowledged_by,
            "comment": self.comment,
        }


@dataclass(frozen=True, kw_only=True)
class AlarmChange:
    """What a burst did to an alarm.

    Attributes
    ----------
    alarm : Alarm
        After the change.
    event : {"opened", "raised", "lowered", "closed", "reopened"}
    """

    alarm: Alarm
    event: str


class AlarmStore:
    """All alarms, in the agent's database: what a burst changes is stored together with its result.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def apply(
        self, burst: Burst, judgement: Judgement, *, now_unix_s: float, reopen_within_s: float
    ) -> AlarmChange | None:
        """Bring the alarm of a sensor to a new level; return the change, if there is one.

        A fault that comes back soon after it went continues its alarm.
        """
        causes: dict[str, str] = {name: level.word for name, level in judgement.causes.items()}
        with self._database.transaction() as connection:
            latest = self._latest(connection, burst.machine, burst.sensor)
            if latest is not None and latest.is_open:
                return self._continue(connection, latest, judgement.level, causes, now_unix_s)
            if judgement.level is Level.NORMAL:
                return None
            level = judgement.level
            closed = None if latest is None else latest.closed_unix_s
            if latest is not None and closed is not None and 0 <= now_unix_s - closed <= reopen_within_s:
                connection.execute(
                    "UPDATE alarms SET level = ?, highest = max(highest, ?), causes = ?, changed_unix_s = ?, "
                    "closed_unix_s = NULL WHERE id = ?",
                    (level, level, json.dumps(causes), now_unix_s, latest.id),
                )
                return self._told(connection, latest.id, "reopened", level, now_unix_s, _named(causes))
            name = f"{burst.machine}.{burst.sensor}.{_digest(burst.key)}"
            connection.execute(
                f"INSERT OR REPLACE INTO alarms({_COLUMNS}) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, NULL)",
                (name, burst.machine, burst.sensor, level, level, json.dumps(causes), now_unix_s, now_unix_s),
            )
            self._forget_old(connection)
            return self._told(connection, name, "opened", level, now_unix_s, _named(causes))

    def _continue(
        self,
        connection: sqlite3.Connection,
        alarm: Alarm,
        level: Level,
        causes: dict[str, str],
        now_unix_s: float,
    ) -> AlarmChange | None:
        if level == alarm.level and causes == alarm.causes:
            return None
        if level is Level.NORMAL:
            return self._close(connection, alarm.id, now_unix_s, "")
        connection.execute(
            "UPDATE alarms SET level = ?, highest = max(highest, ?), causes = ?, changed_unix_s = ? "
            "WHERE id = ?",
            (level, level, json.dumps(causes), now_unix_s, alarm.id),
        )
        if level == alarm.level:
            added = causes.keys() - alarm.causes.keys()
            if added:
                self._note(connection, alarm.id, now_unix_s, "joined", level, None, ", ".join(sorted(added)))
            return None
        event = "raised" if level > alarm.level else "lowered"
        return self._told(connection, alarm.id, event, level, now_unix_s, _named(causes))

    def close_all_but(self, watched: Collection[tuple[str, str]], *, now_unix_s: float) -> list[AlarmChange]:
        """Close the open alarms of sensors that are not among these; return the changes."""
        changes = []
        with self._database.transaction() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM alarms WHERE closed_unix_s IS NULL").fetchall()
            for alarm in map(_alarm, rows):
                if (alarm.machine, alarm.sensor) not in watched:
                    changes.append(self._close(connection, alarm.id, now_unix_s, "no longer watched"))
        return changes

    def _close(
        self, connection: sqlite3.Connection, alarm_id: str, now_unix_s: float, text: str
    ) -> AlarmChange:
        connection.execute(
            "UPDATE alarms SET level = 0, changed_unix_s = ?, closed_unix_s = ? WHERE id = ?",
            (now_unix_s, now_unix_s, alarm_id),
        )
        return self._told(connection, alarm_id, "closed", Level.NORMAL, now_unix_s, text)

    def open_causes(self, machine: str, sensor: str) -> dict[str, Level]:
        """Return what an open alarm of a sensor rests on; empty if there is none."""
        with self._database.transaction() as connection:
            latest = self._latest(connection, machine, sensor)
        if latest is None or not latest.is_open:
            return {}
        return {name: _LEVELS[word] for name, word in latest.causes.items()}

    def acknowledge(self, alarm_id: str, *, author: str, comment: str, now_unix_s: float) -> Alarm:
        """Note that a person has seen an alarm.

        Raises
        ------
        DataError
            If there is no such alarm, it was acknowledged before, or name or comment are missing, too long or
            hold control characters.
        """
        author, comment = author.strip(), comment.strip()
        if not 1 <= len(author) <= LONGEST_NAME or len(comment) > LONGEST_COMMENT:
            raise DataError(
                f"give a name of 1 to {LONGEST_NAME} characters and a comment of at most {LONGEST_COMMENT}."
            )
        if not author.isprintable() or CONTROL.search(re.sub(r"[\t\r\n]", "", comment)):
            raise DataError("name and comment hold control characters; leave them out.")
        with self._database.transaction() as connection:
            alarm = self._one(connection, alarm_id)
            if alarm is None:
                raise DataError(f"there is no alarm '{alarm_id[:120]}'.")
            if alarm.acknowledged_unix_s is not None:
                raise DataError(f"alarm {alarm.id} was acknowledged before, by {alarm.acknowledged_by}.")
            connection.execute(
                "UPDATE alarms SET acknowledged_unix_s = ?, acknowledged_by = ?, comment = ? WHERE id = ?",
                (now_unix_s, author, comment, alarm.id),
            )
            self._note(connection, alarm.id, now_unix_s, "acknowledged", alarm.level, author, comment)
            found = self._one(connection, alarm.id)
        assert found is not None
        return found

    def latest(self, *, open_only: bool = False, most: int = 200, machine: str | None = None) -> list[Alarm]:
        """Return alarms, the latest first."""
        where, values = ["1"], []
        if open_only:
            where.append("(closed_unix_s IS NULL OR acknowledged_unix_s IS NULL)")
        if machine is not None:
            where.append("machine = ?")
            values.append(machine)
        with self._database.transaction() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM alarms WHERE {' AND '.join(where)} "
                "ORDER BY opened_unix_s DESC LIMIT ?",
                (*values, most),
            ).fetchall()
        return [_alarm(row) for row in rows]

    def find(self, alarm_id: str) -> Alarm | None:
        """Return one alarm; None if there is none of that name."""
        with self._database.transaction() as connection:
            return self._one(connection, alarm_id)

    def events(self, alarm_id: str) -> list[dict[str, Any]]:
        """Return what happened to an alarm, in order."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT unix_s, kind, level, author, text FROM alarm_events WHERE alarm = ? "
                "ORDER BY number LIMIT 1000",
                (alarm_id,),
            ).fetchall()
        return [
            {"unix_s": unix_s, "kind": kind, "level": _level(level).word, "author": author, "text": text}
            for unix_s, kind, level, author, text in rows
        ]

    def csv(self) -> Iterator[str]:
        """Yield all alarms as CSV; text that a spreadsheet would take for a formula is quoted."""
        names = [*Alarm.__dataclass_fields__]
        yield csv_line(name.replace("_unix_s", "_utc") for name in names)
        for alarm in self.latest(most=ALARMS_KEPT):
            values = alarm.to_json() | {"causes": _named(alarm.causes)}
            yield csv_line(_shown(name, values[name]) for name in names)

    def _latest(self, connection: sqlite3.Connection, machine: str, sensor: str) -> Alarm | None:
        row = connection.execute(
            f"SELECT {_COLUMNS} FROM alarms WHERE machine = ? AND sensor = ? ORDER BY rowid DESC LIMIT 1",
            (machine, sensor),
        ).fetchone()
        return None if row is None else _alarm(row)

    def _one(self, connection: sqlite3.Connection, alarm_id: str) -> Alarm | None:
        row = connection.execute(f"SELECT {_COLUMNS} FROM alarms WHERE id = ?", (alarm_id,)).fetchone()
        return None if row is None else _alarm(row)

    def _told(
        self,
        connection: sqlite3.Connection,
        alarm_id: str,
        event: str,
        level: Level,
        unix_s: float,
        text: str,
    ) -> AlarmChange:
        self._note(connection, alarm_id, unix_s, event, level, None, text)
        alarm = self._one(connection, alarm_id)
        assert alarm is not None
        return AlarmChange(alarm=alarm, event=event)

    @staticmethod
    def _note(
        connection: sqlite3.Connection,
        alarm_id: str,
        unix_s: float,
        kind: str,
        level: Level,
        author: str | None,
        text: str,
    ) -> None:
        connection.execute(
            "INSERT INTO alarm_events(alarm, unix_s, kind, level, author, text) VALUES (?, ?, ?, ?, ?, ?)",
            (alarm_id, unix_s, kind, level, author, text),
        )

    @staticmethod
    def _forget_old(connection: sqlite3.Connection) -> None:
        gone = connection.execute(
            "DELETE FROM alarms WHERE closed_unix_s IS NOT NULL AND rowid <= "
            "(SELECT MAX(rowid) FROM alarms) - ? RETURNING id",
            (ALARMS_KEPT,),
        ).fetchall()
        connection.executemany("DELETE FROM alarm_events WHERE alarm = ?", gone)


def _digest(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=8).hexdigest()


def _level(number: Any) -> Level:
    """Return a level as it was stored; a disk that fails may give another number back."""
    return Level(number) if number in tuple(Level) else Level.ALARM


def _causes(text: Any) -> dict[str, str]:
    """Return the causes as they were stored; what a disk that fails has made of others is left out."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: word for name, word in found.items() if isinstance(word, str) and word in _LEVELS}


def _alarm(row: tuple[Any, ...]) -> Alarm:
    return Alarm(
        id=row[0],
        machine=row[1],
        sensor=row[2],
        level=_level(row[3]),
        highest=_level(row[4]),
        causes=_causes(row[5]),
        opened_unix_s=row[6],
        changed_unix_s=row[7],
        closed_unix_s=row[8],
        acknowledged_unix_s=row[9],
        acknowledged_by=row[10],
        comment=row[11],
    )


def _named(causes: dict[str, str]) -> str:
    return ", ".join(f"{name}: {word}" for name, word in sorted(causes.items()))


def _shown(name: str, value: Any) -> Any:
    if value is None or not name.endswith("_unix_s"):
        return value
    return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
