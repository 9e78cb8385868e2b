"""The outbox: nothing lost, order kept, what may be double is marked, bounds hold."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_machines import FakeClock
from secateur.core.errors import CheckpointError
from secateur.edge.agent.config.settings import Outbox as OutboxSettings
from secateur.edge.agent.outbox.database import Database, RunningClock, StorageError
from secateur.edge.agent.outbox.delivery import Delivery
from secateur.edge.agent.outbox.repair import check, export, repair
from secateur.edge.agent.outbox.store import KEYS_REMEMBERED, Entry, Outbox, Record
from secateur.edge.agent.sinks.base import RecordRefused, SinkUnavailable


def _entry(number: int, *, kind: str = "result", size: int = 20, sensor: str = "a") -> Entry:
    return Entry(
        key=f"{kind}-{sensor}-{number}",
        kind=kind,
        machine="m",
        sensor=sensor,
        payload=f'{{"n": {number}, "pad": "{"x" * size}"}}'.encode(),
    )


def _outbox(database: Database, sinks: Sequence[str] = ("s",), **changed: object) -> Outbox:
    return Outbox(database, OutboxSettings.model_validate(changed), sinks)


class _Sink:
    """Takes what it is given, except where it was told to fail."""

    name = "s"

    def __init__(self) -> None:
        self.seen: list[Record] = []
        self.failures: list[Exception] = []

    def be_ready(self) -> None:
        pass

    def publish(self, records: Sequence[Record]) -> None:
        if self.failures:
            error = self.failures.pop(0)
            self.seen.extend(records[: getattr(error, "index", len(records))])
            raise error
        self.seen.extend(records)

    def close(self) -> None:
        pass


def test_in_order_and_removed_when_all_sinks_have_it(database: Database) -> None:
    outbox = _outbox(database, ("s", "t"))
    outbox.append([_entry(n) for n in range(10)])
    assert [record.key for record in outbox.next("s", most=3)] == ["result-a-0", "result-a-1", "result-a-2"]
    outbox.acknowledge("s", outbox.next("s")[-1].seq)
    assert outbox.status().rows == 10
    assert outbox.status().waiting == {"s": 0, "t": 10}
    outbox.acknowledge("t", outbox.next("t", most=4)[-1].seq)
    assert outbox.status().rows == 6
    assert outbox.next("s") == []


def test_the_same_key_is_stored_once(database: Database) -> None:
    outbox = _outbox(database)
    assert outbox.append([_entry(1), _entry(2), _entry(1)]) == [True, True, False]
    outbox.acknowledge("s", outbox.next("s")[-1].seq)
    assert outbox.append([_entry(2)]) == [False]
    assert outbox.knows("result-a-1")
    assert not outbox.knows("result-a-3")


def test_remembered_keys_are_bounded(database: Database) -> None:
    outbox = _outbox(database)
    outbox.append([_entry(n) for n in range(KEYS_REMEMBERED + 5)])
    with database.transaction() as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM seen").fetchone()
    assert count == KEYS_REMEMBERED


def test_what_was_on_its_way_is_marked_after_a_restart(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    outbox = _outbox(database)
    outbox.append([_entry(n) for n in range(4)])
    outbox.attempt("s", outbox.next("s", most=2)[-1].seq)
    database.close()
    again = _outbox(Database(tmp_path / "a.sqlite"))
    assert [record.redelivered for record in again.next("s")] == [True, True, False, False]


def test_a_new_sink_starts_with_what_comes_and_an_old_one_holds_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    _outbox(database, ("old",)).append([_entry(1)])
    outbox = _outbox(database, ("new",))
    assert outbox.status().rows == 0
    outbox.append([_entry(2)])
    assert [record.key for record in outbox.next("new")] == ["result-a-2"]
    database.close()


def test_full_drops_the_oldest_results_and_keeps_alarms(database: Database) -> None:
    outbox = _outbox(database, max_mib=1)
    outbox.append([_entry(0, kind="alarm")])
    outbox.append([_entry(n, size=10_000) for n in range(300)])
    status = outbox.status()
    assert status.bytes <= status.most_bytes
    keys = [record.key for record in outbox.next("s", most=1000)]
    assert keys[0] == "alarm-a-0"
    assert len(keys) > 30 or status.rows > 30
    with database.transaction() as connection:
        last = connection.execute("SELECT key FROM results ORDER BY seq DESC LIMIT 1").fetchone()
    assert last == ("result-a-299",)
    assert status.dropped["outbox full, oldest"] + status.rows == 301
    assert status.filling


def test_full_refuses_the_newest_if_told_so_but_never_an_alarm(database: Database) -> None:
    outbox = _outbox(database, max_mib=1, drop="newest")
    outbox.append([_entry(n, size=10_000) for n in range(300)])
    outbox.append([_entry(1, kind="alarm", size=10_000)])
    assert outbox.next("s")[0].key != "result-a-299"
    with database.transaction() as connection:
        last = connection.execute("SELECT key FROM results ORDER BY seq DESC LIMIT 1").fetchone()
    assert last == ("alarm-a-1",)
    assert outbox.status().dropped["outbox full, newest"] > 100


def test_age_counts_running_time_and_marks_what_waited(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    outbox = Outbox(
        database,
        OutboxSettings.model_validate({"max_age_h": 1, "historical_after_s": 10}),
        ("s",),
        clock=clock,
    )
    outbox.append([_entry(1)])
    assert not outbox.next("s")[0].historical
    clock.at_s = 60.0
    monkeypatch.setattr("time.time", lambda: 9e9)  # the wall clock jumps ahead: nothing is lost
    outbox.append([_entry(2)])
    assert [record.historical for record in outbox.next("s")] == [True, False]
    clock.at_s = 3661.0
    outbox.append([_entry(3)])
    assert [record.key for record in outbox.next("s")] == ["result-a-3"]
    assert outbox.status().dropped == {"too old": 2}


def test_the_running_clock_goes_on_after_a_restart(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite")
    _outbox(database).append([_entry(1)])
    with database.transaction() as connection:
        connection.execute("UPDATE counters SET value = 5000 WHERE name = 'running_s'")
    database.close()
    again = Database(tmp_path / "a.sqlite")
    assert 5000 <= RunningClock(again).now_s() < 5100
    again.close()


@settings(max_examples=15)
@given(st.lists(st.sampled_from(["append", "step", "fail", "restart"]), max_size=25))
def test_any_history_delivers_everything_in_order(
    tmp_path_factory: pytest.TempPathFactory, history: list[str]
) -> None:
    path = tmp_path_factory.mktemp("outbox") / "a.sqlite"
    database, sink, count = Database(path), _Sink(), 0
    outbox = _outbox(database)
    delivery = Delivery(outbox, sink, replay_per_s=1e9)
    for event in [*history, "step"]:
        if event == "append":
            outbox.append([_entry(count, sensor=str(count % 3))])
            count += 1
        elif event == "step":
            delivery.step()
        elif event == "fail":
            sink.failures.append(SinkUnavailable("half of it arrived", acknowledged=0))
            delivery.step()
            sink.failures.clear()
        else:
            database.close()
            database = Database(path)
            outbox = _outbox(database)
            delivery = Delivery(outbox, sink, replay_per_s=1e9)
    database.close()
    first_time: dict[str, Record] = {}
    for record in sink.seen:
        assert record.key not in first_time or record.redelivered
        first_time.setdefault(record.key, record)
    assert [record.seq for record in first_time.values()] == sorted(r.seq for r in first_time.values())
    assert len(first_time) == count


def test_a_record_that_is_refused_for_good_does_not_hold_up_the_rest(database: Database) -> None:
    outbox, sink = _outbox(database), _Sink()
    delivery = Delivery(outbox, sink, replay_per_s=1e9)
    outbox.append([_entry(n) for n in range(5)])
    sink.failures = [RecordRefused("too large", index=index) for index in (2, 0, 0)]
    for _ in range(4):
        delivery.step()
    assert [record.key for record in sink.seen] == [f"result-a-{n}" for n in (0, 1, 3, 4)]
    assert outbox.status().dropped == {"refused by s": 1}


def test_a_damaged_file_is_put_together_again_while_running(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    told: list[Path] = []
    database = Database(path, on_repair=told.append)
    outbox = _outbox(database)
    outbox.append([_entry(n, size=500) for n in range(400)])
    database.close()
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        stream.write(os.urandom(40_000))
    assert not check(path).sound
    database = Database(path, on_repair=told.append)
    outbox = _outbox(database)
    seen: list[Record] = []
    for _ in range(600):
        try:
            batch = outbox.next("s")
        except Exception as error:
            assert "put together again" in str(error)
            continue
        if not batch:
            break
        seen.extend(batch)
        outbox.acknowledge("s", batch[-1].seq)
    numbers = [int(record.key.rpartition("-")[2]) for record in seen]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 150
    assert told and told[0].exists()
    outbox.append([_entry(1000)])
    assert outbox.next("s")[-1].key == "result-a-1000"
    database.close()
    assert check(path).sound


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 500])
def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(content)
    database = Database(path)
    outbox = _outbox(database)
    outbox.append([_entry(1)])
    assert len(outbox.next("s")) == 1
    database.close()


def test_a_wrong_checksum_is_not_sent(database: Database, tmp_path: Path) -> None:
    outbox = _outbox(database)
    outbox.append([_entry(1), _entry(2)])
    with database.transaction() as connection:
        connection.execute("UPDATE results SET payload = CAST('{\"n\": 9}' AS BLOB) WHERE seq = 1")
    found = check(database.path)
    assert (found.sound, found.rows, found.bad_checksums) == (False, 1, 1)
    assert [record.key for record in outbox.next("s")] == ["result-a-2"]
    assert outbox.status().dropped == {"damaged on disk": 1}


def test_check_repair_and_export(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    database = Database(path)
    _outbox(database).append([_entry(n) for n in range(600)])
    database.close()
    before = list(export(path))
    assert len(before) == 600
    assert before[599]["payload"]["n"] == 599
    done = repair(path)
    assert (done.rows, done.bad_checksums) == (600, 0)
    assert done.damaged.exists()
    assert list(export(path)) == before
    assert check(path).sound
    again = Database(path)
    records = _outbox(again).next("s")
    assert all(record.redelivered for record in records)
    again.close()


def test_damaged_files_do_not_fill_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    Database(path).close()
    for number in range(1, 7):
        assert repair(path).damaged.name == f"a.sqlite.damaged-{number}"
    kept = {file.name for file in tmp_path.glob("*.damaged-*")}
    assert kept >= {f"a.sqlite.damaged-{number}" for number in (4, 5, 6)}
    assert not any(f"damaged-{number}" in name for name in kept for number in (1, 2, 3))


def test_a_file_that_is_cut_short_and_damaged_in_places_gives_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "agent.sqlite"
    database = Database(path)
    payload = b'{"pad": "' + b"x" * 400 + b'"}'
    place = {"kind": "result", "machine": "m", "sensor": "s"}
    outbox = Outbox(database, OutboxSettings(), ["s"])
    outbox.append([Entry(key=f"k{n}", payload=payload, **place) for n in range(2000)])
    database.checkpoint()
    database.close()
    content = bytearray(path.read_bytes()[:-7000])
    pages = [60, 110, 170]
    for page in pages:
        content[page * 4096 : page * 4096 + 2000] = np.random.default_rng(page).bytes(2000)
    path.write_bytes(bytes(content))
    assert not check(path).sound
    saved = repair(path)
    assert saved.rows > 2000 - 30 * len(pages)
    found = [entry["seq"] for entry in export(path)]
    assert found == sorted(set(found))
    assert len(found) == saved.rows
    assert check(path).sound


def test_a_torn_log_loses_only_what_was_not_acknowledged(tmp_path: Path) -> None:
    live, copy = tmp_path / "live", tmp_path / "copy"
    database = Database(live / "a.sqlite")
    outbox = _outbox(database)
    outbox.append([_entry(n) for n in range(5)])
    synced = (live / "a.sqlite-wal").stat().st_size
    outbox.append([_entry(n) for n in range(5, 10)])
    for cut in (synced, synced + 100, synced + 4200):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(live, copy)
        (copy / "a.sqlite-shm").unlink(missing_ok=True)
        with (copy / "a.sqlite-wal").open("r+b") as stream:
            stream.truncate(cut)
            stream.seek(0, os.SEEK_END)
            stream.write(os.urandom(700))
        again = Database(copy / "a.sqlite")
        assert [record.key for record in _outbox(again).next("s")] == [f"result-a-{n}" for n in range(5)]
        again.close()
    database.close()


def test_a_full_disk_stores_nothing_and_says_so(database: Database) -> None:
    outbox = _outbox(database)
    outbox.append([_entry(1)])
    with database.transaction() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="nothing could be stored"):
        outbox.append([_entry(n, size=100_000) for n in range(2, 5)])
    assert [record.key for record in outbox.next("s")] == ["result-a-1"]
    database._connection.execute("PRAGMA max_page_count = 1000000")
    outbox.append([_entry(n, size=100_000) for n in range(2, 5)])
    assert len(outbox.next("s")) == 4


def test_a_full_disk_has_the_room_of_the_log_left(database: Database) -> None:
    """Else what waits could be sent, and the note that it was could not be stored."""
    log = database.path.with_name(f"{database.path.name}-wal")
    outbox = _outbox(database)
    outbox.append([_entry(n, size=100_000) for n in range(5)])
    size = log.stat().st_size
    with pytest.raises(StorageError, match="Is the disk full"), database.transaction():
        raise sqlite3.OperationalError("database or disk is full")
    outbox.acknowledge("s", outbox.next("s")[-1].seq)
    assert log.stat().st_size == size


def test_a_start_on_a_full_disk_tells_how_much_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", full)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10_000))
    with pytest.raises(StorageError, match=r"Its disk has 9 KiB left; a start needs 1024. Free some"):
        Database(tmp_path / "a.sqlite")


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE results(other TEXT)")
    connection.close()
    with pytest.raises(StorageError, match="could not be opened"):
        Database(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT * FROM results").fetchall() == []
    connection.close()


@pytest.mark.parametrize("act", [check, repair, lambda path: list(export(path))])
def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path, act) -> None:
    path = tmp_path / "history.sqlite"
    other = sqlite3.connect(path)
    with other:
        other.execute("CREATE TABLE pages (name TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="another program"):
        act(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["history.sqlite"]
