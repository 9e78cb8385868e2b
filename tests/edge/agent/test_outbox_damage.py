"""The outbox on a bad disk: what is damaged, torn, full or of another program costs no more than it must."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from outboxes import entry, outbox_of
from secateur.core.errors import ConfigError
from secateur.edge.agent.config.settings import Outbox as OutboxSettings
from secateur.edge.agent.outbox.database import Database, StorageError
from secateur.edge.agent.outbox.repair import check, export, repair
from secateur.edge.agent.outbox.store import Entry, Outbox, Record


def test_a_damaged_file_is_put_together_again_while_running(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    told: list[Path] = []
    database = Database(path, on_repair=told.append)
    outbox = outbox_of(database)
    outbox.append([entry(n, size=500) for n in range(400)])
    database.close()
    with path.open("r+b") as stream:
        stream.seek(path.stat().st_size // 2)
        stream.write(os.urandom(40_000))
    assert not check(path).sound
    database = Database(path, on_repair=told.append)
    outbox = outbox_of(database)
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
    outbox.append([entry(1000)])
    assert outbox.next("s")[-1].key == "result-a-1000"
    database.close()
    assert check(path).sound


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 500])
def test_a_file_that_is_no_database_is_put_aside(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(content)
    database = Database(path)
    outbox = outbox_of(database)
    outbox.append([entry(1)])
    assert len(outbox.next("s")) == 1
    database.close()


def test_a_wrong_checksum_is_not_sent(database: Database, tmp_path: Path) -> None:
    outbox = outbox_of(database)
    outbox.append([entry(1), entry(2)])
    with database.transaction() as connection:
        connection.execute("UPDATE results SET payload = CAST('{\"n\": 9}' AS BLOB) WHERE seq = 1")
    found = check(database.path)
    assert (found.sound, found.rows, found.bad_checksums) == (False, 1, 1)
    assert [record.key for record in outbox.next("s")] == ["result-a-2"]
    assert outbox.status().dropped == {"damaged on disk": 1}


def test_check_repair_and_export(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    database = Database(path)
    outbox_of(database).append([entry(n) for n in range(600)])
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
    records = outbox_of(again).next("s")
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


@pytest.mark.parametrize("spoilt", [1, 4096])
def test_a_damaged_first_page_costs_no_result(tmp_path: Path, spoilt: int) -> None:
    path = tmp_path / "agent.sqlite"
    database = Database(path)
    outbox = outbox_of(database)
    for first in range(0, 600, 100):
        outbox.append([entry(number) for number in range(first, first + 100)])
    outbox.acknowledge("s", outbox.next("s", most=50)[-1].seq)
    database.close()
    with path.open("r+b") as file:
        file.write(os.urandom(spoilt))
    assert "outbox repair" in check(path).messages[-1]
    database = Database(path)
    outbox = outbox_of(database)
    assert [record.key for record in outbox.next("s", most=1000)] == [f"result-a-{n}" for n in range(50, 600)]
    assert outbox.knows("result-a-7")
    database.close()
    assert check(path).sound
    assert not list(tmp_path.glob(".*"))


def test_a_torn_log_loses_only_what_was_not_acknowledged(tmp_path: Path) -> None:
    live, copy = tmp_path / "live", tmp_path / "copy"
    database = Database(live / "a.sqlite")
    outbox = outbox_of(database)
    outbox.append([entry(n) for n in range(5)])
    synced = (live / "a.sqlite-wal").stat().st_size
    outbox.append([entry(n) for n in range(5, 10)])
    for cut in (synced, synced + 100, synced + 4200):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(live, copy)
        (copy / "a.sqlite-shm").unlink(missing_ok=True)
        with (copy / "a.sqlite-wal").open("r+b") as stream:
            stream.truncate(cut)
            stream.seek(0, os.SEEK_END)
            stream.write(os.urandom(700))
        again = Database(copy / "a.sqlite")
        assert [record.key for record in outbox_of(again).next("s")] == [f"result-a-{n}" for n in range(5)]
        again.close()
    database.close()


def test_a_full_disk_stores_nothing_and_says_so(database: Database) -> None:
    outbox = outbox_of(database)
    outbox.append([entry(1)])
    with database.transaction() as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    database._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="nothing could be stored"):
        outbox.append([entry(n, size=100_000) for n in range(2, 5)])
    assert [record.key for record in outbox.next("s")] == ["result-a-1"]
    database._connection.execute("PRAGMA max_page_count = 1000000")
    outbox.append([entry(n, size=100_000) for n in range(2, 5)])
    assert len(outbox.next("s")) == 4


def test_a_full_disk_has_the_room_of_the_log_left(database: Database) -> None:
    """Else what waits could be sent, and the note that it was could not be stored."""
    log = database.path.with_name(f"{database.path.name}-wal")
    outbox = outbox_of(database)
    outbox.append([entry(n, size=100_000) for n in range(5)])
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
    with pytest.raises(ConfigError, match="another program"):
        act(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["history.sqlite"]
