"""Results in files: by the day as CSV, by the hour as Parquet, whole after a power cut, old ones removed."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent_machines import record
from secateur.edge.agent.config.connections import LogSink
from secateur.edge.agent.sinks import log
from secateur.edge.agent.sinks.base import SinkUnavailable
from secateur.edge.agent.sinks.log import COLUMNS, CsvLog


class _Clock:
    now = datetime(2026, 3, 1, 10, 59, tzinfo=UTC)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()

    class Datetime(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return clock.now

    monkeypatch.setattr(log, "datetime", Datetime)
    return clock


def _settings(tmp_path: Path, kind: str) -> LogSink:
    return LogSink.model_validate({"type": kind, "folder": str(tmp_path), "days": 30})


def _names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.iterdir())


def test_csv_by_the_day(tmp_path: Path, clock: _Clock) -> None:
    sink = CsvLog(_settings(tmp_path, "csv"))
    sink.publish([record(1), record(2)])
    with (tmp_path / "2026-03-01.csv").open("ab") as file:
        file.write(b"cut sho")
    sink.publish([record(3)])
    rows = list(csv.DictReader(io.StringIO((tmp_path / "2026-03-01.csv").read_bytes().decode())))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["sequence"] for row in rows] == ["1", "2", None, "3"]
    (tmp_path / "notes.txt").touch()
    (tmp_path / "2026-03-01.parquet").touch()  # of another sink
    clock.now = datetime(2026, 4, 15, tzinfo=UTC)
    sink.publish([record(4)])
    (tmp_path / "2026-04-15.csv").rename(tmp_path / "moved")
    tmp_path.rename(tmp_path.with_name("away"))
    with pytest.raises(SinkUnavailable):
        sink.publish([record(5)])
    sink.publish([record(5)])  # the folder is made anew
    assert _names(tmp_path) == ["2026-04-15.csv"]
    (tmp_path / "2026-04-15.csv").unlink()
    tmp_path.rmdir()
    tmp_path.with_name("away").rename(tmp_path)
    (tmp_path / "moved").rename(tmp_path / "2026-04-15.csv")
    assert _names(tmp_path) == ["2026-03-01.csv", "2026-03-01.parquet", "2026-04-15.csv", "notes.txt"]


def test_parquet_by_the_hour(tmp_path: Path, clock: _Clock) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    from secateur.edge.agent.sinks.parquet import ParquetLog

    sink = ParquetLog(_settings(tmp_path, "parquet"))
    for number in range(1, 6):
        sink.publish([record(number)])
    journal = tmp_path / "2026-03-01T10.jsonl"
    assert [json.loads(line)["sequence"] for line in journal.read_text().splitlines()] == [1, 2, 3, 4, 5]
    with journal.open("ab") as file:
        file.write(b'5\n{"sequence": 6, "ke')  # a power cut; it was not acknowledged
    content = journal.read_bytes()
    clock.now = datetime(2026, 3, 1, 11, 0, tzinfo=UTC)
    sink = ParquetLog(_settings(tmp_path, "parquet"))
    sink.be_ready()
    (name,) = _names(tmp_path)
    assert name == "2026-03-01T10-000000000001.parquet"
    table = parquet.read_table(tmp_path / name)
    assert table.column_names == list(COLUMNS)
    assert table["sequence"].to_pylist() == [1, 2, 3, 4, 5]
    assert table["score"].to_pylist() == [1.5] * 5
    assert str(table.schema.field("label").type) == "string"  # also where no row has one
    journal.write_bytes(content)  # killed before the lines were removed
    ParquetLog(_settings(tmp_path, "parquet")).be_ready()
    assert _names(tmp_path) == [name]
    sink.publish([record(6)])
    assert _names(tmp_path) == [name, "2026-03-01T11.jsonl"]


def test_a_clock_that_jumps_ahead_takes_no_logs_away(tmp_path: Path, clock: _Clock) -> None:
    sink = CsvLog(_settings(tmp_path, "csv"))
    days = [datetime(2026, 3, day, 12, tzinfo=UTC) for day in range(1, 32)]
    for number, day in enumerate(days):
        clock.now = day
        sink.publish([record(number)])
    assert len(_names(tmp_path)) == 30
    clock.now = datetime(2099, 1, 1, tzinfo=UTC)
    sink.publish([record(40)])
    clock.now = datetime(2026, 4, 1, tzinfo=UTC)
    sink.publish([record(41)])
    names = _names(tmp_path)
    assert names[0] == "2026-03-04.csv"
    assert names[-2:] == ["2026-04-01.csv", "2099-01-01.csv"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_what_people_put_there_is_neither_removed_nor_counted(
    tmp_path: Path, clock: _Clock, kind: str
) -> None:
    sink: CsvLog = CsvLog(_settings(tmp_path, kind))
    own, theirs = ["2020-01-01.csv"], ["2020-01-01 (copy).csv", "2020-01-02.csv.old", "pump trip.csv"]
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        from secateur.edge.agent.sinks.parquet import ParquetLog

        sink = ParquetLog(_settings(tmp_path, kind))
        own = ["2020-01-01T10-000000000001.parquet"]
        theirs = ["2020-01-01T10-000000000001 (copy).parquet", "2020-01-01Tab.jsonl", "2020-01-01.csv"]
    for day in range(1, 30):
        theirs.append(f"2020-02-{day:02d} of pump 3.csv")
    for name in (*own, *theirs):
        (tmp_path / name).write_text("{}\n")
    days = [datetime(2026, 3, day, 12, tzinfo=UTC) for day in range(1, 31)]
    for number, day in enumerate(days):
        clock.now = day
        sink.publish([record(number)])
    names = _names(tmp_path)
    assert set(names).issuperset(theirs) and set(names).isdisjoint(own)
    assert len(names) == len(theirs) + len(days)  # the days that others keep take no room of the log's
